"""`nexus strategies` tells what is installed, calibrates it and says what its signals were worth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from nexus_app_data import evaluation, strategies
from nexus_app_data.markets import Given
from nexus_app_data.playing import enlisted, play
from nexus_catalog.splits import cut
from nexus_stats import wilson
from typer.testing import CliRunner

from nexus_core import Strategy, calibration, plugins
from nexus_core.testing import CommandContract

MINUTE = 60_000_000_000
BEGIN = 1_700_006_400  # seconds since 1970, midnight UTC
SMALL = ["--synthetic", "bars", "--seeds", "10000-10001", "--minutes", 3000]


class TestStrategies(CommandContract):
    command = "strategies"


def told(*arguments):
    done = CliRunner().invoke(strategies.app, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output or done.exception
    return json.loads(done.stdout)


def closes(count, seed=1):
    return 100.0 + np.cumsum(np.random.default_rng(seed).normal(size=count) * 0.05)


def csv(path, close):
    """Write bars of a minute with these closes."""
    lines = [
        f"{BEGIN + 60 * (i + 1)},{c:.4f},{c + 0.02:.4f},{c - 0.02:.4f},{c:.4f},{1 + i % 7}"
        for i, c in enumerate(close)
    ]
    path.write_text("\n".join(["ts,open,high,low,close,volume", *lines]) + "\n")
    return path


class Every(Strategy):
    """Signals up on even rows and down on odd ones; its score rises with the minute of the hour."""

    nexus_api = 1
    name = "every"
    category = "momentum"
    needs = {"bar"}
    horizon = 5

    @staticmethod
    def state(params):
        return {"n": 0}

    @staticmethod
    def step(row, state, params):
        state.n += 1
        return (1 if state.n % 2 == 1 else -1), (state.n % 60) / 60.0


def played(given, strategy=None):
    sources = given.sources()
    player = enlisted("every", strategy or Every(), sources, 0.0)
    list(play([player], sources))
    return player


# -- list and show -----------------------------------------------------------------------------------


def test_all_installed_strategies_are_listed():
    listed = {each["name"]: each for each in told("list")}
    assert set(listed) == {each.name for each in plugins.offers() if each.kind == "strategies"}
    vwap = listed["vwap"]
    assert (vwap["state"], vwap["needs"], vwap["horizon"]) == ("ready", ["bar", "volume"], 60)
    assert (vwap["row_seconds"], vwap["category"]) == (60.0, "mean_reversion")
    assert listed["book-pressure"]["needs"] == ["book"]


def test_a_broken_strategy_is_a_line_and_not_the_end(monkeypatch):
    real = plugins.load

    def load(kind, name, names=()):
        if name == "ema-cross":
            raise RuntimeError("out of order")
        return real(kind, name, names)

    monkeypatch.setattr(plugins, "load", load)
    listed = {each["name"]: each for each in told("list")}
    assert listed["ema-cross"]["state"] == "broken"
    assert "out of order" in listed["ema-cross"]["reason"]
    assert listed["vwap"]["state"] == "ready"
    done = CliRunner().invoke(strategies.app, ["list"])
    assert "ema-cross: broken: " in done.stdout


def test_one_strategy_is_shown():
    shown = told("show", "vwap")
    assert shown["class"] == "nexus_strategy_vwap.Vwap"
    assert shown["capabilities"] == {
        "style": "step",
        "hears_events": False,
        "reads_book": False,
        "counts_levels": False,
        "blends": True,
        "sells": True,
    }
    k = shown["parameters"]["k"]
    assert (k["default"], k["low"], k["high"]) == (2.0, 0.5, 6.0)
    assert shown["warmup"] == 241
    assert told("show", "fall-window")["capabilities"]["style"] == "window"
    events = told("show", "book-pressure")["capabilities"]
    assert (events["hears_events"], events["reads_book"]) == (True, True)


# -- calibrate and evaluate --------------------------------------------------------------------------


def test_a_table_is_fitted_and_then_used_by_evaluations_and_runs(nexus, tmp_path):
    made = told("calibrate", "ema-cross", *SMALL)[0]
    assert made["state"] == "calibrated"
    (table,) = calibration.read(tmp_path / "nexus" / "calibration" / "ema-cross.json")
    facts = table.facts
    assert (facts["population"], facts["interval"], facts["horizon"]) == ("synthetic bars", MINUTE, 60)
    assert (facts["split"], facts["source"]) == ("seeds 10000-10001", ["3000 minutes of each seed"])
    assert facts["signals"] == made["signals"] >= 50
    again = (tmp_path / "nexus" / "calibration" / "ema-cross.json").read_bytes()
    told("calibrate", "ema-cross", *SMALL)
    assert (tmp_path / "nexus" / "calibration" / "ema-cross.json").read_bytes() == again
    listed = {each["name"]: each for each in told("list")}
    assert [each["holds"] for each in listed["ema-cross"]["tables"]] == [True]

    rest = ["--synthetic", "bars", "--minutes", 3000, "--seeds"]
    (other,) = told("evaluate", "ema-cross", *rest, "10002")["strategies"]
    assert (other["table"]["split"], other["in_sample"]) == ("seeds 10000-10001", False)
    (same,) = told("evaluate", "ema-cross", *rest, "10001-10003")["strategies"]
    assert same["in_sample"]
    code, out, _ = nexus("run", "--plugins", "ema-cross", "--bars", 300, "--json")
    assert (code, json.loads(out)["calibrated"]) == (0, ["ema-cross"])


def test_figures_are_those_of_an_obvious_computation(tmp_path):
    close = np.round(closes(1000), 4)
    path, table = csv(tmp_path / "BTC.csv", close), tmp_path / "t.json"
    player = played(Given([str(path)], split="choose"))
    edges = cut((BEGIN + 60) * 10**9, (BEGIN + 60_000) * 10**9)
    ts = (BEGIN + 60 * np.arange(1, 1001)) * 10**9
    moves, scores = [], []
    for i in range(1000):
        inside = edges.calibrate_to < ts[i] <= edges.choose_to
        if inside and i + 5 < 1000 and ts[i + 5] <= edges.choose_to:
            side = 1 if i % 2 == 0 else -1
            moves.append(side * (close[i + 5] / close[i] - 1))
            scores.append((i + 1) % 60 / 60)
    moves = np.array(moves)
    found = evaluation.evaluated(player, 0.001, None)
    assert (found["rows"], found["signals"], found["judged"]) == (200, 200, 195)
    assert found["coverage"] == 1.0
    assert found["hit"]["value"] == pytest.approx((moves > 0).mean())
    assert found["independent"] == pytest.approx(200 / 5, rel=0.05)
    low, high = wilson((moves > 0).mean() * found["independent"], found["independent"])
    assert (found["hit"]["low"], found["hit"]["high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["move"]["gross"]["value"] == pytest.approx(moves.mean())
    assert found["move"]["net"]["value"] == pytest.approx(moves.mean() - 0.002)
    assert found["move"]["net"]["low"] < found["move"]["net"]["value"] < found["move"]["net"]["high"]
    assert found["turnover"] == pytest.approx(1.995)
    judged = evaluation.judged(player.played, 5)
    assert judged.scores.tolist() == pytest.approx(scores)
    assert not table.exists()


def test_chances_are_held_against_what_came(tmp_path):
    player = played(Given([str(csv(tmp_path / "a.csv", closes(1000)))], split="choose"))
    curves = {
        "scores": [0.0, 1.0],
        "ranks": [0.0, 1.0],
        "p": [0.3, 0.7],
        "low": [0.2, 0.6],
        "high": [0.4, 0.8],
    }
    made = evaluation.evaluated(player, 0.0, calibration.Table({**curves, "base": 0.5, "signals": 100}))
    judged = evaluation.judged(player.played, 5)
    p, right = 0.3 + 0.4 * judged.scores, judged.right
    skill = 1 - ((p - right) ** 2).sum() / ((0.5 - right) ** 2).sum()
    assert made["brier_skill"]["value"] == pytest.approx(skill)
    coin = 1 - ((p - right) ** 2).sum() / ((made["coin"] - right) ** 2).sum()
    assert made["over_coin_skill"]["value"] == pytest.approx(coin)
    assert made["ece"] >= abs(p.mean() - right.mean())
    assert sum(made["reliability"]["count"]) == len(right)
    assert made["verdict"] == "uninformative"


def test_rounding_parts_no_equal_chances():
    flat = {"scores": [0.0, 0.3, 0.7, 1.0], "p": [0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2]}
    table = calibration.Table({**flat, "ranks": [0.0, 0.3, 0.7, 1.0], "low": [0.2] * 4, "high": [0.4] * 4})
    assert len(set(evaluation.chance(table, np.random.default_rng(1).random(1000)).tolist())) == 1


def test_only_a_small_error_and_a_sure_skill_are_informative():
    from nexus_stats import Interval

    assert evaluation.verdict(0.05, Interval(0.1, 0.01, 0.2)) == "informative"
    assert evaluation.verdict(0.051, Interval(0.1, 0.01, 0.2)) == "uninformative"
    assert evaluation.verdict(0.01, Interval(0.1, 0.0, 0.2)) == "uninformative"
    assert evaluation.verdict(0.01, Interval(1e-16, 1e-17, 1e-16)) == "uninformative"  # rounding
    assert evaluation.verdict(0.01, None) == "uninformative"
    over = Interval(0.1, 0.01, 0.2)
    assert evaluation.verdict(0.05, Interval(0.0, -0.1, 0.1), over) == "better than a coin"
    assert evaluation.verdict(0.051, None, over) == "uninformative"


def test_markets_of_seeds_do_not_overlap_and_those_of_a_time_do(tmp_path):
    seeds = played(Given(synthetic="bars", seeds="10000-10001", minutes=300))
    found = evaluation.judged(seeds.played, 5).outcomes
    assert (np.diff(found.at) > 0).all()
    assert [len(each.rows) for each in seeds.played] == [300, 300]
    both = [str(csv(tmp_path / f"{n}.csv", closes(500, n))) for n in (1, 2)]
    one, two = (evaluation.judged(played(Given(given)).played, 5) for given in (both[:1], both))
    assert len(two.scores) == 2 * len(one.scores)
    assert two.independent == pytest.approx(one.independent)


def test_an_evaluation_counts_what_a_run_counts(nexus):
    given = ["--synthetic", "bars", "--seeds", "10004", "--minutes", 2000]
    (mine,) = told("evaluate", "ema-cross", *given)["strategies"]
    run = ["run", "--plugins", "ema-cross", "--symbols", "BTC-USD", "--bars", 2000, "--seed", 10004]
    its = json.loads(nexus(*run, "--json")[1])["signals"]["ema-cross"]
    assert (mine["signals"], mine["judged"]) == (its["signals"], its["right"] + its["wrong"])
    assert mine["hit"]["value"] == pytest.approx(its["right"] / (its["right"] + its["wrong"]))


# -- splits ------------------------------------------------------------------------------------------


def test_what_lies_beyond_a_split_changes_nothing_before_it(tmp_path):
    close = closes(6000)
    wild = close.copy()
    wild[3600:-1] *= np.random.default_rng(2).uniform(0.2, 5.0, 2399)
    tables = []
    for name, values in (("sane", close), ("wild", wild)):
        (tmp_path / name).mkdir()
        path = csv(tmp_path / name / "x.csv", values)
        if name == "wild":  # and some that nobody can read
            lines = path.read_text().splitlines()
            lines[4700:4800] = ["nan,nan,nan,nan,nan,nan"] * 100
            path.write_text("\n".join(lines) + "\n")
        out = tmp_path / name / "t.json"
        (made,) = told("calibrate", "ema-cross", "--data", path, "--out", out)
        assert made["state"] == "calibrated", made
        tables.append(out.read_bytes())
    assert tables[0] == tables[1]


def test_a_signal_whose_horizon_leaves_the_split_is_not_counted(tmp_path):
    path = str(csv(tmp_path / "x.csv", closes(1000)))
    for split, rows in (("calibrate", 600), ("choose", 200), ("final", 200)):
        player = played(Given([path], split=split, why="to test"))
        (one,) = player.played
        assert np.count_nonzero(one.signals) == rows
        judged = evaluation.judged([one], 5).outcomes
        assert len(judged.at) == rows - 5
        assert judged.at[0] > one.source.after
        assert judged.to[-1] == one.rows["ts"][-1] <= one.source.to


def test_the_final_split_needs_a_reason_and_says_it(nexus, tmp_path):
    path = csv(tmp_path / "BTC.csv", closes(600))
    code, _, err = nexus("strategies", "evaluate", "ema-cross", "--data", path, "--split", "final")
    assert (code, "say why: --why REASON" in err) == (2, True)
    read = ["evaluate", "ema-cross", "--data", path, "--split", "final", "--why", "the end"]
    assert told(*read)["final"] == {"why": "the end", "counted": []}
    done = CliRunner().invoke(strategies.app, list(map(str, read)))
    assert "the end (not counted: outside the catalog)" in done.stdout


def test_a_series_of_the_catalog_is_played_as_its_file_is(nexus, tmp_path):
    path = csv(tmp_path / "x.csv", closes(1500))
    assert nexus("data", "import", path, "--symbol", "BTC-USD")[0] == 0
    for split in ("calibrate", "choose", "final"):
        how = ["--split", split, *(["--why", "a test"] if split == "final" else [])]
        one, two = (
            told("evaluate", "ema-cross", "--data", each, *how) for each in (path, "BTC-USD/bars-60s")
        )
        assert two["final"] == (
            {"why": "a test", "counted": ["BTC-USD/bars-60s"]} if split == "final" else None
        )
        for name in ("rows", "signals", "hit", "move", "turnover"):
            assert one["strategies"][0][name] == two["strategies"][0][name]
    (series,) = json.loads(nexus("data", "list", "--json")[1])
    assert [each["why"] for each in series["readings"]] == ["a test"]


# -- what cannot be done -----------------------------------------------------------------------------


def test_too_few_signals_are_a_line_and_the_others_go_on(nexus, tmp_path):
    out = tmp_path / "tables"
    made = told("calibrate", "vwap", "ema-cross", *SMALL, "--out", out)
    assert [each["state"] for each in made] == ["not calibrated", "calibrated"]
    assert "at least 50 are needed" in made[0]["reason"]
    assert [each.name for each in out.iterdir()] == ["ema-cross.json"]
    code, text, err = nexus("strategies", "calibrate", "vwap", *SMALL)
    assert (code, "at least 50 are needed" in text, err.count("\n")) == (5, True, 1)


def test_a_table_takes_the_place_of_its_own_and_leaves_the_others(tmp_path):
    out = tmp_path / "t.json"
    for fast in (9, 8, 9):
        (made,) = told("calibrate", "ema-cross", *SMALL, "--out", out, "--set", f"fast={fast}")
        assert made["params"]["fast"] == fast
    assert [each.facts["params"]["fast"] for each in calibration.read(out)] == [8, 9]
    (found,) = told("evaluate", "ema-cross", *SMALL, "--set", "fast=8", "--tables", out)["strategies"]
    assert found["table"] is not None
    (found,) = told("evaluate", "ema-cross", *SMALL, "--tables", out)["strategies"]
    assert (found["table"], found["verdict"]) == (None, "uncalibrated")


def test_what_cannot_be_fed_is_told_as_inactive(tmp_path):
    path = csv(tmp_path / "x.csv", closes(300))
    (made,) = told("evaluate", "book-pressure", "--data", path)["strategies"]
    assert (made["state"], made["reason"]) == ("inactive", "needs book, market events")
    (made,) = told("calibrate", "book-pressure", "--data", path)
    assert made["state"] == "inactive"


def test_order_flow_is_played_by_the_second():
    (made,) = told("evaluate", "book-pressure", "--synthetic", "flow", "--seeds", "10000", "--minutes", 30)[
        "strategies"
    ]
    assert (made["population"], made["interval_s"]) == ("synthetic flow", 1.0)
    assert 600 < made["rows"] <= 1800
    assert made["signals"] > 0


def test_trades_of_a_file_make_rows(tmp_path):
    random = np.random.default_rng(3)
    times = BEGIN + np.cumsum(random.exponential(2.0, 3000))
    prices = 100 + np.cumsum(random.normal(size=3000)) / 100
    lines = [
        f"{t:.3f},{p:.2f},1,{'buy' if i % 2 else 'sell'}"
        for i, (t, p) in enumerate(zip(times, prices, strict=True))
    ]
    path = tmp_path / "trades.csv"
    path.write_text("\n".join(["ts,price,size,side", *lines]) + "\n")
    made = told("evaluate", "ema-cross", "book-pressure", "--data", path, "--split", "calibrate")
    ema, book = made["strategies"]
    assert (ema["interval_s"], book["state"]) == (60.0, "inactive")
    assert 50 < ema["rows"] < 70


def test_a_strategy_that_raises_is_told_as_broken():
    class Raises(Every):
        def signal(self, window):
            raise ValueError("no idea")

    class Window(Strategy):
        nexus_api = 1
        category = "momentum"
        needs = {"bar"}
        warmup = "many"

    player = played(Given(synthetic="bars", seeds="1", minutes=60), Window())
    assert player.broken.startswith("PluginError: strategies:every has neither a step nor a signal")
    player = played(Given(synthetic="bars", seeds="1", minutes=60), Raises())
    assert "both a step and a signal" in player.broken


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["show", "vwapp"], 3, "Did you mean vwap?"),
        (["evaluate", "vwap"], 2, "say what market"),
        (["evaluate", "vwap", "--data", "x.csv", "--synthetic", "bars"], 2, "one of the two"),
        (["evaluate", "vwap", "--data", "x.csv"], 3, "x.csv: there is no such file"),
        (["evaluate", "vwap", "--data", "BTC-USD/bars-60s"], 3, "is not in the catalog"),
        (["evaluate", "vwap", "--synthetic", "flows"], 2, "Did you mean flow?"),
        (["evaluate", "vwap", "--synthetic", "bars", "--seeds", "9-1"], 2, "--seeds was 9-1"),
        (["evaluate", "vwap", "--synthetic", "bars", "--set", "k=99"], 4, "parameter k was 99"),
        (["evaluate", "vwap", "--synthetic", "bars", "--set", "k"], 2, "must be NAME=VALUE"),
        (["evaluate", "--synthetic", "bars", "--set", "k=3"], 2, "Name it alone"),
        (["evaluate", "--synthetic", "bars", "--plot", "x.png"], 2, "--plot was x.png"),
        (["evaluate", "vwap", "--synthetic", "bars", "--tables", "no.json", "--minutes", "60"], 3, "no.json"),
        (["calibrate", "vwap", "fall-step", "--synthetic", "bars", "--out", "t.json"], 2, "need a folder"),
        (["evaluate", "vwap", "--synthetic", "bars", "--seeds", "1-99999"], 2, "must be 10,000 of them"),
        (["evaluate", "vwap", "--synthetic", "bars", "--interval", "1e-10"], 2, "--interval was 1e-10"),
        (["evaluate", "vwap", "--synthetic", "bars", "--interval", "1e300"], 2, "must be 0.001 to 604,800"),
    ],
)
def test_what_is_wrong_is_one_line(nexus, arguments, code, text):
    got, _, err = nexus("strategies", *arguments)
    assert (got, err.count("\n")) == (code, 1), err
    assert text in err


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("when,what\n1,2\n", "--columns of nexus data import"),
        ("time,open,high,low,close\n1700000000,1,1,1,1\n", "--interval of nexus data import"),
    ],
)
def test_a_file_that_has_to_be_explained_is_brought_in_first(nexus, tmp_path, text, advice):
    """For these commands have no options to explain it."""
    (tmp_path / "odd.csv").write_text(text)
    _, _, err = nexus("strategies", "evaluate", "ema-cross", "--data", str(tmp_path / "odd.csv"))
    assert err.count("\n") == 1
    assert advice in err


def test_a_table_of_no_length_of_rows_is_unreadable(nexus, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path))
    curves = {name: [0.5] for name in calibration.CURVES}
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration/ema-cross.json").write_text(
        json.dumps({"tables": [{**curves, "interval": "x"}]})
    )
    code, out, _ = nexus("strategies", "show", "ema-cross")
    assert code == 0
    assert "interval was 'x'" in out
    assert "(unreadable file)" in nexus("strategies", "list")[1]


def test_the_table_of_an_evaluation_names_every_figure(tmp_path):
    done = CliRunner().invoke(strategies.app, ["evaluate", "ema-cross", *map(str, SMALL)])
    assert done.exit_code == 0
    for word in ("coverage", "always long", "coin", "Brier skill", "net, bp", "warm-up", "one by one"):
        assert word in done.stdout


# -- other markets, and pictures ---------------------------------------------------------------------


def test_markets_of_other_lengths_are_left_out(tmp_path):
    slow, fast = tmp_path / "slow.csv", csv(tmp_path / "fast.csv", closes(300))
    slow.write_text(
        "ts,open,high,low,close\n" + "".join(f"{BEGIN + 300 * (i + 1)},1,1,1,1\n" for i in range(99))
    )
    given = ["--data", fast, "--data", slow]
    (made,) = told("evaluate", "ema-cross", *given)["strategies"]
    assert (made["source"], made["interval_s"]) == (["fast.csv"], 60.0)
    (made,) = told("evaluate", "ema-cross", "--data", slow)["strategies"]
    assert (made["source"], made["interval_s"]) == (["slow.csv"], 300.0)
    (made,) = told("evaluate", "ema-cross", *given, "--interval", 300)["strategies"]
    assert made["source"] == ["slow.csv"]

    class Quick(Every):
        row_seconds = 1.0

    player = enlisted("quick", Quick(), Given(list(map(str, given[1::2]))).sources(), 0.0)
    assert player.unfed == "needs rows of one length, and the markets have 60 s and 300 s"


def test_each_symbol_of_a_recording_is_a_market_and_its_book_is_heard(tmp_path):
    from nexus_recording.rehearsal import recorded

    path = tmp_path / "venue.jsonl"
    with path.open("wb") as file:
        file.writelines(recorded(("BTCUSD", "ETHUSD"), 2000, slow=200))
    found = told("evaluate", "book-pressure", "--data", path, "--split", "calibrate")
    assert found["sources"] == ["venue.jsonl BTCUSD", "venue.jsonl ETHUSD"]
    assert found["strategies"][0]["signals"] > 0


def test_a_score_stays_with_its_row(tmp_path):
    (one,) = played(Given([str(csv(tmp_path / "x.csv", closes(500)))], split="choose")).played
    at = np.flatnonzero(one.signals)
    assert one.scored(at[[3, 40]]).tolist() == [(at[n] + 1) % 60 / 60 for n in (3, 40)]


@pytest.mark.parametrize("minutes", [30, 3000])
def test_a_picture_is_drawn(tmp_path, minutes):
    path = tmp_path / "x.png"
    given = ["--synthetic", "bars", "--seeds", "10000-10001", "--minutes", minutes]
    assert told("evaluate", "ema-cross", *given, "--plot", path)["plot"] == str(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_kept_is_one_line(nexus, tmp_path):
    given = ["--synthetic", "bars", "--seeds", "1", "--minutes", 100, "--plot"]
    code, _, err = nexus("strategies", "evaluate", "ema-cross", *given, tmp_path / "no" / "x.png")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be written (No such file or directory)" in err
    code, _, err = nexus("strategies", "evaluate", "book-pressure", *given, tmp_path / "x.png")
    assert (code, "nothing to draw: inactive: needs book" in err) == (2, True)
