"""The contract kit: good plugins come out gold, and every check catches its own bad one and no other's."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nexus_classic import ClassicStrategy

import nexus_core.testing
from nexus_core import Gate, Param, Strategy, compile, plugins
from nexus_core.market.events import BREAK, CLEAR, LEVEL, QUOTE, TRADE
from nexus_core.market.loops import FAULT
from nexus_core.records import ABSENT
from nexus_core.testing import __main__ as command
from nexus_core.testing import anywhere, markets, play, strategies
from nexus_core.testing.contract import CONTRACTS, Broken, Grade, Subject, examine, subject
from nexus_core.testing.market import MINUTE

BAD_SHELF = Path(__file__).parent / "shelf_bad"
COMPILED = pytest.mark.jit


@pytest.fixture
def bad_shelf(monkeypatch):
    """Install the plugins that break their contract."""
    monkeypatch.syspath_prepend(BAD_SHELF)
    plugins.offers.cache_clear()
    yield BAD_SHELF
    plugins.offers.cache_clear()
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(BAD_SHELF)):
            del sys.modules[name]


def failed(report):
    return {each.number: each.text for each in report.findings if each.outcome == "failed"}


def needless(report):
    return {each.number: each.text for each in report.findings if each.outcome == "not applicable"}


# -- what is good ------------------------------------------------------------------------------------


class Turning(Strategy):
    """Sell above the middle of the window, buy below it."""

    nexus_api = 1
    category = "mean_reversion"
    warmup = 12
    width = Param(2.0, low=0.0, high=100.0, help="Distance from the middle that counts, in price")

    def signal(self, window):
        away = float(window.close[-1]) - float(window.close.max() + window.close.min()) / 2
        if not abs(away) > self.params.width:
            return 0, 0.0
        return (-1 if away > 0 else 1), min(abs(away) / 16, 1.0)


class Remembering(ClassicStrategy):
    """Follow the change since it was last asked about a symbol."""

    nexus_api = 1
    category = "momentum"
    warmup = 2

    def initialize(self, config):
        self.before = {}

    def execute(self, data):
        close = data["close"]
        if math.isnan(close):
            return None
        change = close - self.before.get(data["symbol"], close)
        self.before[data["symbol"]] = close
        return {"signal": np.sign(change), "confidence": min(abs(change) / 16, 1.0)}


GOOD = {"turning": Turning, "remembering": Remembering}


@pytest.mark.parametrize("name", [pytest.param("vwap", marks=COMPILED), "ema-cross"])
def test_what_is_installed_is_gold(name):
    report = examine(subject("strategies", name))
    assert failed(report) == {}
    assert report.grade == "gold"
    assert needless(report).keys() <= ({"NX-S14"} if not compile.JIT else set())


@pytest.mark.parametrize(
    ("name", "apart"),
    [
        ("turning", {"NX-P01", "NX-P02", "NX-P06", "NX-S15"}),
        ("remembering", {"NX-P01", "NX-P02", "NX-P06", "NX-S05", "NX-S06", "NX-S15"}),
    ],
)
def test_a_class_in_plain_python_can_be_gold_without_being_installed(name, apart):
    report = examine(Subject("strategies", name, GOOD[name]))
    assert failed(report) == {}
    assert (report.grade, needless(report).keys()) == ("gold", apart)


def one(number, kind="strategies"):
    (found,) = [each for each in CONTRACTS[kind] if each.number == number]
    return found


def test_a_strategy_that_is_no_mirror_can_be_gold_by_a_reason(shelf, monkeypatch):
    installed = subject("strategies", "swing")
    with pytest.raises(Broken, match=r"^row \d+ of BBB-USD was answered .* must be the opposite signal"):
        one("NX-S13").run(installed)
    with pytest.raises(Broken, match="the README of nexus-test-shelf does not name swing"):
        one("NX-P06").run(installed)
    reason = "its scores are 0.9 and 0.8, by the side"
    monkeypatch.setattr(shelf.Swing, "mirror", reason)
    report = examine(Subject("strategies", "swing", shelf.Swing))
    assert report.grade == "gold"
    assert needless(report)["NX-S13"] == reason


def test_the_market_of_the_kit_gives_strategies_something_to_say():
    for name in ("vwap", "ema-cross"):
        of = subject("strategies", name)
        answers = strategies.plain(of, long=True)
        assert np.isin(answers.signals, (-1, 1)).sum() > 10
        assert (answers.signals == ABSENT).sum() == 3 * of.make().warmup


# -- what is bad -------------------------------------------------------------------------------------

CAUGHT = {
    "heavy": ("NX-P01", "none", "imports sklearn too"),
    "busy": ("NX-P02", "none", "opened a socket"),
    "boolean": ("NX-P03", "none", "nexus_api was True"),
    "mumbling": ("NX-P04", "none", "parameter size has no help"),
    "compiled": ("NX-P05", "none", "nexus_bad_compiler.py takes njit from numba"),
    "nameless": ("NX-P06", "silver", "the README of nexus-bad-shelf does not name nameless"),
    "trendy": ("NX-S01", "none", "category was 'trendy', must be one of trend_following, "),
    "moody": ("NX-S02", "none", "row 5 of AAA-USD was answered (0, 0.0) to the same rows a second time"),
    "foresighted": ("NX-S03", "none", "where rows end at row 4"),
    "counting": ("NX-S04", "bronze", "row 3 of AAA-USD was answered (1, 0.181640625) in blocks of 7 ticks"),
    "forgetful": ("NX-S05", "bronze", "after a restart row 15"),
    "gossiping": ("NX-S06", "bronze", "of BBB-USD was answered (0, 0.0) alone, and ("),
    "fragile": ("NX-S07", "bronze", "where values are NaN, was answered (0, nan), must be a signal"),
    "poisoned": ("NX-S07", "bronze", "had no signal any more where values are NaN"),
    "punctual": ("NX-S08", "bronze", "where bars are missing, raised ValueError: a row is missing"),
    "thirsty": ("NX-S09", "bronze", "where volume is zero or prices stand still, raised ZeroDivisionError"),
    "impatient": ("NX-S10", "bronze", "row 0 of AAA-USD, where there is one row and no other, raised Zero"),
    "clockwork": ("NX-S11", "bronze", "row 288 of AAA-USD, on a calendar with days of 23 and 25 hours"),
    "boastful": ("NX-S12", "bronze", "row 24 of AAA-USD, of market 1, was answered (-1, 1.4375), must be"),
    "hopeful": (
        "NX-S13",
        "silver",
        "was answered (0, 0.0), and (1, 0.181640625) with the market upside down",
    ),
    "curt": ("NX-S13", "silver", "mirror was 'no', must be price, log, or a sentence"),
    "plodding": ("NX-S14", "silver", "a step may take 5 us"),
    "two-faced": ("NX-S15", "bronze", "row 0 of AAA-USD was answered (0, 0."),
    "coarse": ("NX-S16", "bronze", "where prices are about 0.00001, in bars of a second, raised ValueError"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=COMPILED) if each == "plodding" else each for each in CAUGHT]
)
def test_every_check_catches_its_own_and_no_other_check_fires(bad_shelf, name):
    number, grade, text = CAUGHT[name]
    report = examine(subject("strategies", name))
    assert failed(report).keys() == {number}
    assert text in failed(report)[number]
    assert report.grade == grade


def test_every_check_of_a_strategy_has_a_bad_one_to_catch():
    assert {number for number, _, _ in CAUGHT.values()} == {each.number for each in CONTRACTS["strategies"]}


@pytest.mark.parametrize(
    ("name", "numbers", "why"),
    [
        ("moody", "03 04 05 06 13 15", "it answers the same rows in different ways (NX-S02)"),
        ("foresighted", "04", "it sees rows before they come (NX-S03)"),
        ("boastful", "07 08 09 10 11 16", "it faults where nothing befalls the market (NX-S12)"),
    ],
)
def test_checks_that_cannot_tell_after_another_failed_say_so(bad_shelf, name, numbers, why):
    of = subject("strategies", name)
    assert {one(f"NX-S{number}").needless(of) for number in numbers.split()} == {why}


def test_what_a_step_answered_outside_its_bounds_is_told(shelf):
    with pytest.raises(Broken, match=r"^row 1 of AAA-USD, of market 1, was answered \(0, 2\.0\), must be"):
        strategies.keeps_its_bounds(subject("strategies", "wild"))


# -- any plugin --------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a module with a text, offered as a gate, and gives it as a subject."""
    monkeypatch.syspath_prepend(tmp_path)

    def lay(text, kind="gates"):
        info = tmp_path / "test_odd-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-odd\nVersion: 1.0\n\nodd\n")
        (info / "entry_points.txt").write_text(f"[nexus.{kind}]\nodd = test_odd:Odd\n")
        (tmp_path / "test_odd.py").write_text(text)
        plugins.offers.cache_clear()
        return Subject(kind, "odd", None, {}, plugins.find(kind, "odd"))

    yield lay
    plugins.offers.cache_clear()
    sys.modules.pop("test_odd", None)


@pytest.mark.parametrize(
    ("text", "check", "said"),
    [
        ("import time\ntime.sleep(1.1)", anywhere.imports_quickly, r"took 1\.\d\d s beyond nexus_core"),
        ("1 / 0", anywhere.imports_quickly, "cannot be imported in a new process: ZeroDivisionError"),
        ("import os\nos._exit(3)", anywhere.imports_quietly, "ended the process with code 3"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
            anywhere.imports_quietly,
            "started a thread",
        ),
        ("import subprocess\nsubprocess.run(['true'])", anywhere.imports_quietly, "started a process"),
        ("open(__file__ + '.txt', 'a').close()", anywhere.imports_quietly, r"wrote a file \(.*test_odd"),
        ("import os\nos.mkdir(__file__ + '.d')", anywhere.imports_quietly, r"changed a file \(os.mkdir"),
    ],
    ids=["slow", "broken", "ends", "thread", "process", "file", "folder"],
)
def test_an_import_that_is_slow_or_does_things_is_caught(install, text, check, said):
    with pytest.raises(Broken, match=said):
        check(install(text))


def test_an_import_that_reads_files_and_prints_is_clean(install):
    of = install("print('hello')\nwith open(__file__) as file:\n    TEXT = file.read()\n", kind="commands")
    anywhere.imports_quickly(of)
    anywhere.imports_quietly(of)


@pytest.mark.parametrize(
    ("api", "said"),
    [
        ({}, "nexus_api was inherited, must be a whole number of the class itself"),
        ({"nexus_api": "1"}, "nexus_api was '1', must be"),
        ({"nexus_api": 0}, "nexus_api was 0, this Nexus has 1 to 1"),
        ({"nexus_api": 99}, "nexus_api was 99, this Nexus has 1 to 1"),
    ],
)
def test_an_interface_that_is_not_its_own_or_not_there_is_caught(api, said):
    with pytest.raises(Broken, match=said):
        anywhere.declares_its_interface(Subject("gates", "odd", type("Odd", (Turning,), api)))


class Deaf(Gate):
    def __init__(self, **given):
        super().__init__()


class Lax(Gate):
    limit = Param(1.0, low=0.0, high=2.0, help="in percent")

    def __init__(self, **given):
        super().__init__(**{name: min(max(value, 0.0), 2.0) for name, value in given.items()})


class Outside(Gate):
    limit = Param(3, low=0, high=2, help="in percent")


class Vague(Gate):
    limit = Param(1, low=0, high=2, help="in percent")
    is_on = Param(True, low=0, high=1, help="whether it is on")

    def __init__(self, **given):
        try:
            super().__init__(**given)
        except Exception as error:
            raise type(error)("something was wrong") from error


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Deaf, "no_such_parameter = 1 was taken, which it does not allow"),
        (Lax, r"limit = -5e-324 was taken|limit = nan was taken"),
        (Outside, r"limit = 3 by default is outside its own bounds \[0, 2\]"),
        (Vague, "limit = nan was refused without its name: something was wrong"),
    ],
)
def test_parameters_that_are_not_checked_are_caught(kind, said):
    with pytest.raises(Broken, match=said):
        anywhere.checks_its_parameters(Subject("gates", "odd", kind))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import numba\nnumba.njit(f)", {"njit"}),
        ("import numba as nb\n@nb.core.jit\ndef f(): ...", {"jit"}),
        ("from numba import njit as fast", {"njit"}),
        ("from numba.experimental import jitclass", {"jitclass"}),
        ("from numba import types", set()),
        ("jit = settings.jit", set()),
    ],
)
def test_compilers_of_numba_are_found_in_a_text(source, names):
    assert anywhere.compilers(source) == names


def test_a_plugin_must_say_what_it_is(install):
    of = install("class Odd:\n    pass")
    silent = type("Odd", (), {})
    with pytest.raises(Broken, match="Odd has no docstring"):
        anywhere.says_what_it_is(Subject("gates", "odd", silent, {}, of.offer))
    with pytest.raises(Broken, match="test-odd has no summary"):
        anywhere.says_what_it_is(Subject("gates", "odd", Turning, {}, of.offer))


@pytest.mark.parametrize("key", ["gates:duplicate", "feeds:synthetic", "brokers:paper"])
def test_what_holds_anywhere_holds_for_installed_plugins_of_other_kinds(key):
    of = subject(*key.split(":"))
    for each in CONTRACTS[of.kind]:
        if each.number.startswith("NX-P"):
            assert each.needless(of) == ""
            each.run(of)


# -- a strategy's facts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signal": Strategy.signal}, "its style was none"),
        ({"step": staticmethod(lambda row, state, params: (0, 0.0))}, "its style was step and signal"),
        ({"category": None}, "category was None"),
        ({"needs": "bar"}, "needs was 'bar', must be a set"),
        ({"needs": {"bar", "tweets"}}, "must be a set of some of bar, volume, quote, trade, book"),
        ({"needs": set()}, r"needs was set\(\)"),
        ({"horizon": 0}, "horizon was 0, must be a whole number of rows from 1 on"),
        ({"warmup": 2.5}, "warmup was 2.5, must be a whole number of rows from 0 on"),
        ({"warmup": -1}, "warmup was -1"),
    ],
)
def test_facts_that_are_none_are_caught(changes, said):
    odd = Subject("strategies", "odd", type("Odd", (Turning,), {"nexus_api": 1, **changes}))
    with pytest.raises(Broken, match=said):
        strategies.declares_its_facts(odd)


def test_a_strategy_that_cannot_be_put_to_work_is_told_once():
    odd = type("Odd", (Turning,), {"nexus_api": 1, "signal": Strategy.signal})
    report = examine(Subject("strategies", "odd", odd))
    assert failed(report).keys() == {"NX-S01"}
    assert set(needless(report).values()) >= {"it has not exactly one style (NX-S01)"}


def test_a_class_inside_a_function_cannot_go_on_in_another_process():
    class Inner(Turning):
        pass

    assert "inside a function" in play.homeless(Subject("strategies", "inner", Inner))


def test_parameters_other_than_the_defaults_are_used():
    wide = Subject("strategies", "turning", Turning, {"width": 100.0})
    assert not np.isin(strategies.plain(wide).signals, (-1, 1)).any()
    assert np.isin(strategies.plain(Subject("strategies", "turning", Turning)).signals, (-1, 1)).any()


# -- markets -----------------------------------------------------------------------------------------


@pytest.fixture
def whole():
    return markets.market(600)


def same(one, other):
    return one.rows.tobytes() == other.rows.tobytes()


def test_markets_are_made_of_their_seed_alone(whole):
    assert same(markets.market(600), markets.market.__wrapped__(600))
    assert not same(markets.market(600, 2), whole)
    assert whole.starts.tolist() == [0, 600, 1200, 1800]


def test_rows_of_a_market_are_sound(whole):
    rows = whole.rows
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["bid"] < rows["ask"]).all()
    assert (rows["low"] > 0).all()
    assert (rows["buy_volume"] + rows["sell_volume"] == rows["volume"]).all()
    assert (rows["volume"] > 0).all()
    assert (rows["minute_of_session"] + rows["minutes_to_close"] == 1440).all()


def test_prices_lie_on_a_grid_and_are_turned_over_without_rounding(whole):
    for field in markets.PRICES:
        assert (whole.rows[field] * 64 == np.round(whole.rows[field] * 64)).all()
    turned = markets.mirrored(whole, "price")
    assert (turned.rows["high"] >= turned.rows["low"]).all()
    assert (turned.rows["bid"] < turned.rows["ask"]).all()
    assert (turned.rows["close"][:600] + whole.rows["close"][:600] == 2 * whole.rows["close"][0]).all()
    assert same(markets.mirrored(turned, "price"), whole)


def test_prices_are_turned_over_in_log(whole):
    turned = markets.mirrored(whole, "log")
    product = turned.rows["close"][:600] * whole.rows["close"][:600]
    assert product == pytest.approx(whole.rows["close"][0] ** 2, rel=1e-14)
    assert (turned.rows["high"] >= turned.rows["low"]).all()


def test_what_is_unknown_lies_in_its_stretch(whole):
    rows = markets.unknown(whole, 200).rows
    for field in (*markets.PRICES, *markets.AMOUNTS):
        at = np.flatnonzero(np.isnan(rows[field][:600]))
        assert 200 <= at[0] < at[-1] < 200 + markets.STRETCH
    assert np.isnan(rows["volume"]).sum() == 3 * (5 + 12)


def test_gaps_double_the_distance_and_skip_days(whole):
    odd = markets.gapped(whole, 200)
    for s in range(3):
        steps = np.diff(odd.rows["ts"][odd.starts[s] : odd.starts[s + 1]]) // markets.INTERVAL
        assert np.count_nonzero(steps == 2) >= 24
        assert steps.max() == 1 + 3 * 288
        assert (steps[:198] == 1).all()
        assert (steps[-200:] == 1).all()


def test_a_still_market_has_no_volume_and_one_price(whole):
    rows = markets.still(whole, 200).rows[:600]
    assert np.flatnonzero(rows["volume"] == 0).tolist() == [*range(200, 235), *range(265, 300)]
    assert (rows["high"][235:300] == rows["low"][235:300]).all()
    assert len(np.unique(rows["close"][235:300])) == 1


def test_days_have_23_and_25_hours_where_clocks_change():
    rows = markets.daylight(1400).rows
    hours = {
        int(day): {int(each) for each in (rows["minute_of_session"] + rows["minutes_to_close"])[mine]}
        for day in np.unique(rows["session_id"])
        for mine in [rows["session_id"] == day]
    }
    assert list(hours.values())[:4] == [{1440}, {1380}, {1440}, {1500}]
    assert (rows["minutes_to_close"] >= 0).all()
    assert (np.diff(rows["ts"]) == markets.INTERVAL).all()


def test_a_market_is_cut_taken_apart_and_scaled(whole):
    assert markets.until(whole, 7).starts.tolist() == [0, 7, 14, 21]
    assert markets.only(whole, 1).starts.tolist() == [0, 0, 600, 600]
    other = markets.changed(whole, 5)
    assert (other.rows["close"] == whole.rows["close"]).nonzero()[0].tolist() == [
        s * 600 + n for s in range(3) for n in range(5)
    ]
    small = markets.scaled(whole, 1e-8, 1e3, MINUTE)
    assert 5e-6 < small.rows["close"].min() < small.rows["close"].max() < 2e-5
    assert (np.diff(small.rows["ts"][:600]) == MINUTE).all()


# -- another process ---------------------------------------------------------------------------------


def test_rows_played_elsewhere_are_answered_as_here():
    of = Subject("strategies", "turning", Turning)
    here = strategies.plain(of)
    home = (Turning.__module__, __file__, "Turning")
    starts = here.market.starts
    job = (home, "turning", {}, b"", here.market.rows, starts[:-1], starts[1:])
    for foreign, signals, scores, states in (play.answered(*job), play.elsewhere(of, *job[3:])):
        assert not foreign
        assert signals.tobytes() == here.signals.tobytes()
        assert scores.tobytes() == here.scores.tobytes()
        assert states == here.states


def test_a_process_that_fails_is_told_by_its_last_line(whole):
    of = Subject("strategies", "turning", Turning, {"width": -1.0})
    starts = whole.starts
    with pytest.raises(Broken, match=r"another process could not play its rows: .*width was -1.0"):
        play.elsewhere(of, b"", whole.rows, starts[:-1], starts[1:])


def test_a_class_in_a_file_is_found_by_its_file(whole, tmp_path):
    file = tmp_path / "somewhere.py"
    file.write_text(Path(__file__).parent.joinpath("shelf_bad", "nexus_bad.py").read_text())
    starts = np.array([0, 20, 20, 20])
    job = ("a_module_of_no_path", str(file), "Hopeful"), "hopeful", {}, b"", whole.rows[:20]
    _, signals, _, _ = play.answered(*job, starts[:-1], starts[1:])
    assert signals[:3].tolist() == [ABSENT] * 3
    assert set(signals[3:]) <= {0, 1}
    del sys.modules["a_module_of_no_path"]


def test_a_process_that_does_not_answer_is_not_waited_for(whole, monkeypatch):
    monkeypatch.setattr(play, "PATIENCE", 0.01)
    starts = whole.starts
    with pytest.raises(Broken, match=r"another process did not answer within 0\.01 s"):
        play.elsewhere(Subject("strategies", "turning", Turning), b"", whole.rows, starts[:-1], starts[1:])


class Raising(Strategy):
    """Raise in a step."""

    nexus_api = 1
    category = "momentum"

    @staticmethod
    def step(row, state, params):
        if row.seq == 5:
            raise ValueError("five")
        return 0, 0.0


def test_a_step_that_raises_is_told_with_the_times_of_its_rows():
    with pytest.raises(Broken, match=r"^step raised ValueError: five, on rows of 2026-03-02T00:05:00Z to "):
        strategies.is_deterministic(Subject("strategies", "raising", Raising))


class Shifting(Turning):
    """Need another warm-up each time."""

    @property
    def warmup(self):
        Shifting.made = getattr(Shifting, "made", 0) + 1
        return 12 + Shifting.made % 2


def test_a_warm_up_that_changes_is_caught():
    with pytest.raises(Broken, match=r"AAA-USD was absent for 1[23] rows, its warmup is 1[23]\."):
        strategies.keeps_its_bounds(Subject("strategies", "shifting", Shifting))


def test_answers_are_told_as_a_reader_sees_them():
    answers = np.array([ABSENT, FAULT, -2], np.int8), np.array([0.0, 0.0, 0.5])
    assert [play.said(answers, n) for n in range(3)] == ["not at all", "outside the bounds", "(-2, 0.5)"]


# -- without pytest, and with it ---------------------------------------------------------------------


def python(*arguments, **kept):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **kept)


def test_importing_the_package_costs_nothing():
    done = python("-c", "import nexus_core.testing, sys; print(*sys.modules)")
    assert {"numpy", "numba", "pytest", "nexus_core.testing.contract"}.isdisjoint(done.stdout.split())
    assert "nexus_core.testing" in done.stdout.split()


def test_a_name_that_the_package_has_not_is_said():
    assert nexus_core.testing.rows([1.0])["close"].tolist() == [1.0]
    with pytest.raises(AttributeError, match=r"nexus_core\.testing has no Strategies"):
        _ = nexus_core.testing.Strategies


def test_the_module_examines_an_installed_plugin_without_pytest(bad_shelf, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(bad_shelf))
    code = (
        "import runpy, sys\n"
        "sys.modules['pytest'] = sys.modules['hypothesis'] = sys.modules['_pytest'] = None\n"
        "sys.argv = ['', 'strategies:moody', '--json']\n"
        "runpy.run_module('nexus_core.testing', run_name='__main__')\n"
    )
    done = python("-c", code)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["key"], report["grade"]) == ("strategies:moody", "none")
    assert [each["number"] for each in report["findings"] if each["outcome"] == "failed"] == ["NX-S02"]
    assert {each["grade"] for each in report["findings"]} == {"BRONZE", "SILVER", "GOLD"}


def test_the_module_prints_lines(bad_shelf, capfd):
    assert command.main(["strategies:moody"]) == 0
    first, *rest = capfd.readouterr().out.splitlines()
    assert first == "strategies:moody  none  22 checks, 1 failed, 6 not applicable"
    assert rest[0].startswith("  NX-S02  failed: Give the same bits for the same rows, in any instance")
    assert len(rest) == 7


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["strategies:vwpa"], 3, "strategies:vwpa is not installed. Did you mean vwap? "),
        (["strategies:odd"], 4, "strategies:odd of test-odd 1.0 cannot be imported: ZeroDivisionError: "),
        (["vwap"], 2, "name one plugin as KIND:NAME, such as strategies:vwap. "),
        (["strategy:vwap"], 2, "the kind was strategy, must be one of strategies, "),
    ],
)
def test_what_cannot_be_found_or_loaded_is_one_line(install, capfd, arguments, code, said):
    install("print('I am loaded')\n1 / 0", kind="strategies")
    assert command.main(arguments) == code
    told = capfd.readouterr()
    assert told.out == ""
    assert [line for line in told.err.splitlines() if line != "I am loaded"] == [
        line for line in told.err.splitlines() if line.startswith(f"nexus: {said}")
    ]
    assert f"nexus: {said}" in told.err


TESTS = """
from nexus_core import Strategy
from nexus_core.testing import StrategyContract


class Follow(Strategy):
    nexus_api, category, warmup = 1, "momentum", 2

    def signal(self, window):
        move = float(window.close[-1] - window.close[-2])
        if not abs(move) > 1:
            return 0, 0.0
        return (1 if move > 0 else -1), abs(move) / 2


class TestFollow(StrategyContract):
    strategy = Follow
"""


def test_a_subclass_of_the_contract_is_a_test_a_check(tmp_path):
    (tmp_path / "test_follow.py").write_text(TESTS)
    done = python("-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", str(tmp_path), cwd=tmp_path)
    assert "1 failed, 11 passed, 10 skipped" in done.stdout
    assert "TestFollow::test_nx_s12_keep_signals_in_2_to_2_and_scores_in_0_1" in done.stdout
    assert "NX-S12: row " in done.stdout
    assert "it is a class that is not installed" in done.stdout


class TurningContract(nexus_core.testing.StrategyContract):
    __test__ = False
    strategy = Turning


def test_a_test_of_the_contract_passes_skips_or_says_what_broke(monkeypatch):
    tests = {
        name.split("_")[2]: getattr(TurningContract(), name) for name in dir(TurningContract) if "nx" in name
    }
    assert len(tests) == 22
    assert TurningContract.under_test().name == "turning"
    tests["s01"]()
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        tests["p01"]()
    monkeypatch.setattr(Turning, "mirror", "no")
    with pytest.raises(Broken, match=r"^NX-S13: mirror was 'no'"):
        tests["s13"]()
    monkeypatch.setattr(TurningContract, "strategy", "vwap")
    assert TurningContract.under_test().offer.key == "strategies:vwap"


def test_grades_ask_for_all_that_the_ones_before_ask_for():
    numbers = {each.number: each.grade for each in CONTRACTS["strategies"]}
    assert len(numbers) == 22
    assert {n for n, grade in numbers.items() if grade == Grade.GOLD} == {"NX-P06", "NX-S13", "NX-S14"}


class Pressed(Strategy):
    """Goes with what was bought since its last row, and the longer queue."""

    nexus_api = 1
    category = "order_flow"
    needs = {"bar", "trade", "book"}

    @staticmethod
    def state(params):
        return {"lean": 0.0, "tilt": 0.0}

    @staticmethod
    def on_event(event, book, state, params):
        if event.kind == TRADE:
            state.lean += event.side * event.size
        elif book.known:
            state.tilt = book.bid_size - book.ask_size

    @staticmethod
    def step(row, state, params):
        lean = state.lean
        state.lean = 0.0
        if lean > 0.0 and state.tilt > 0.0:
            return 1, 0.5
        return (-1, 0.5) if lean < 0.0 and state.tilt < 0.0 else (0, 0.0)


def test_what_hears_events_is_tried_on_a_market_that_has_some():
    report = examine(Subject("strategies", "pressed", Pressed))
    assert {each.number: each.text for each in report.findings if each.outcome == "failed"} == {}
    signals = strategies.plain(Subject("strategies", "pressed", Pressed)).signals
    assert {-1, 0, 1} == set(signals.tolist())


def test_a_market_says_what_its_rows_hold():
    chunk = markets.heard(markets.market(300))
    rows, events = (chunk.rows[chunk.starts[1] : chunk.starts[2]], chunk.events)
    own = events[chunk.event_starts[1] : chunk.event_starts[2]]
    for row in rows[10:20]:
        said = own[(own["ts"] > row["ts"] - markets.INTERVAL) & (own["ts"] <= row["ts"])]
        trades = said[said["kind"] == TRADE]
        if row["open"] != row["close"]:
            assert (trades["price"][0], trades["price"][-1]) == (row["open"], row["close"])
            assert (trades["price"].max(), trades["price"].min()) == (row["high"], row["low"])
            assert trades["size"].sum() == pytest.approx(row["volume"])
        assert said[said["kind"] == QUOTE]["price"].tolist() == [row["bid"], row["ask"]]


def test_a_market_turned_over_says_the_same_the_other_way_round():
    usual = markets.market(300)
    here, there = markets.heard(usual), markets.heard(markets.mirrored(usual, "price"))
    trades, turned = (each.events[each.events["kind"] == TRADE] for each in (here, there))
    assert (trades["side"] == -turned["side"]).all()
    assert (trades["size"] == turned["size"]).all()
    total = trades["price"] + turned["price"]
    for s in range(3):
        assert len(set(total[trades["symbol"] == s].tolist())) == 1


@pytest.mark.parametrize("about", [None, 1000.0])
def test_the_events_of_a_market_are_turned_over_with_it(about):
    usual = markets.heard(markets.unknown(markets.market(300), 150))
    turned = markets.mirrored(usual, "price", about)
    assert (turned.event_starts == usual.event_starts).all()
    here, there = usual.events, turned.events
    unchanged = [name for name in here.dtype.names if name not in ("price", "side")]
    assert all(here[name].tobytes() == there[name].tobytes() for name in unchanged)
    assert (here["side"] == -there["side"]).all()
    assert {TRADE, QUOTE, BREAK} <= set(here["kind"].tolist())
    for s in range(3):
        own = slice(usual.event_starts[s], usual.event_starts[s + 1])
        origin = about or usual.rows["close"][usual.starts[s]]
        priced = np.isin(here["kind"][own], (TRADE, QUOTE, LEVEL))
        total = here["price"][own] + there["price"][own]
        assert (total[priced] == 2 * origin).all()
        assert np.array_equal(here["price"][own][~priced], there["price"][own][~priced], equal_nan=True)
    again = markets.mirrored(turned, "price", about)
    assert again.events.tobytes() == here.tobytes()


def test_where_values_are_not_known_the_book_of_a_market_breaks():
    chunk = markets.heard(markets.unknown(markets.market(300), 150))
    kinds = chunk.events["kind"]
    assert (kinds == BREAK).sum() >= 3
    assert (kinds == CLEAR).sum() == (kinds == BREAK).sum() + 3
