"""Settings: every bound at its limit, every layer over the one below, every message in full."""

from __future__ import annotations

import itertools
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nexus_core
from nexus_core.config import Execution, Performance, Risk, Run, Settings
from nexus_core.errors import ConfigError, Exit
from nexus_core.plugins import offers
from nexus_core.upkeep.sources import ConfigManager, Resolved, describe, load

COUNT = 1_000_000_000
YEAR = 31_536_000
MONEY = 90_000_000_000
TINY = 5e-324
PERCENT = "must lie in (0, 1]. It is a fraction:"
LISTED = "must be a list of names without spaces around them."

# key: low, high, which of the two ends are allowed. Written out by hand; describe() is held against it.
WHOLE = {
    "performance.buffer_size": (1, COUNT),
    "performance.cache_size": (1, COUNT),
    "performance.cache_ttl": (1, YEAR),
    "performance.max_workers": (1, 1024),
    "performance.block": (1, COUNT),
    "performance.snapshot_every": (1, COUNT),
    "risk.breaker_rejects": (0, COUNT),
    "execution.order_timeout": (1, YEAR),
    "monitoring.metrics_interval": (1, YEAR),
    "monitoring.alert_cooldown": (0, YEAR),
    "security.session_timeout": (1, YEAR),
    "security.max_failed_attempts": (1, COUNT),
    "run.seed": (0, 2**63 - 1),
    "run.bars": (0, COUNT),
    "run.every": (1, 60_000),
    "run.interval": (1, YEAR),
    "quarantine.faults": (1, 1000),
    "quarantine.rows": (1, COUNT),
}
REAL = {
    "risk.capital": (0, MONEY, "(]"),
    "risk.max_position_size": (0, 1, "(]"),
    "risk.max_daily_loss": (0, 1, "(]"),
    "risk.max_weekly_loss": (0, 1, "(]"),
    "risk.max_drawdown": (0, 1, "(]"),
    "risk.stop_loss_pct": (0, 1, "()"),
    "risk.take_profit_pct": (0, 100, "(]"),
    "risk.risk_fraction": (0, 1, "(]"),
    "risk.quantity": (0, MONEY, "(]"),
    "risk.notional": (0, MONEY, "(]"),
    "risk.min_confidence": (0, 1, "[]"),
    "risk.breaker_loss": (0, 1, "[]"),
    "execution.max_slippage": (0, 1, "[]"),
    "execution.min_fill_percentage": (0, 1, "[]"),
    "execution.stale_after": (0, YEAR, "(]"),
    "quarantine.budget": (0, 3600, "(]"),
    "monitoring.latency_alert_ms": (0, 86_400_000, "(]"),
    "security.clock_drift": (0, YEAR, "[]"),
}
FRACTIONS = {
    *("risk.max_position_size", "risk.max_daily_loss", "risk.max_weekly_loss", "risk.max_drawdown"),
    *("risk.stop_loss_pct", "risk.take_profit_pct", "risk.risk_fraction", "risk.min_confidence"),
    *("risk.breaker_loss", "execution.max_slippage", "execution.min_fill_percentage"),
}
CHOICES = {
    "performance.trace": ("full", "approved", "orders"),
    "risk.sizing": ("kelly", "fixed-risk", "fixed-quantity", "fixed-notional"),
    "risk.on_opposite": ("close", "reverse", "ignore"),
    "chain.preset": ("bare", "standard", "strict"),
    "execution.allocation": ("configured", "ranked"),
    "run.clock": ("bar", "every", "event"),
}
FLAGS = ("risk.allow_short", "risk.brackets", "monitoring.enable_metrics", "security.enable_authentication")
NAMES = {"run.feed": "synthetic", "run.broker": "paper"}
LISTS = {"run.strategies": 1, "run.symbols": 1, "risk.gates": 0, "chain.layers": 0, "run.blocked": 0}

# What must move along, so that a bound is met alone and not a rule between two settings.
BESIDE = {
    "risk.max_daily_loss": {"risk.max_weekly_loss": 1, "risk.max_drawdown": 1},
    "risk.max_weekly_loss": {"risk.max_daily_loss": TINY, "risk.max_drawdown": 1},
    "risk.max_drawdown": {"risk.max_daily_loss": TINY, "risk.max_weekly_loss": TINY},
    "risk.max_position_size": {"risk.risk_fraction": TINY},
    "risk.risk_fraction": {"risk.max_position_size": 1},
    "risk.take_profit_pct": {"risk.allow_short": False},
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Stand in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def with_one(key, value):
    return Settings.from_dict({**BESIDE.get(key, {}), key: value})


def value_of(settings, key):
    group, _, name = key.partition(".")
    return getattr(getattr(settings, group), name)


def refusal(call, *arguments, **named):
    with pytest.raises(ConfigError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_the_defaults():
    settings = Settings()
    assert settings.performance == Performance(
        buffer_size=10_000,
        cache_size=1000,
        cache_ttl=300,
        max_workers=4,
        block=4096,
        snapshot_every=16,
        trace="full",
    )
    assert settings.to_dict() == {
        "performance": {
            "buffer_size": 10_000,
            "cache_size": 1000,
            "cache_ttl": 300,
            "max_workers": 4,
            "block": 4096,
            "snapshot_every": 16,
            "trace": "full",
        },
        "risk": {
            "capital": 100_000.0,
            "max_position_size": 0.1,
            "max_daily_loss": 0.02,
            "max_weekly_loss": 0.05,
            "max_drawdown": 0.15,
            "stop_loss_pct": 0.02,
            "take_profit_pct": 0.04,
            "sizing": "kelly",
            "risk_fraction": 0.02,
            "quantity": 1.0,
            "notional": 1000.0,
            "on_opposite": "close",
            "allow_short": True,
            "brackets": True,
            "min_confidence": 0.57,
            "breaker_loss": 0.01,
            "breaker_rejects": 10,
            "gates": [
                *("duplicate", "position-size", "daily-loss", "weekly-loss"),
                *("drawdown", "margin", "stop-loss", "min-size"),
            ],
        },
        "chain": {"preset": "bare", "layers": []},
        "execution": {
            "max_slippage": 0.001,
            "order_timeout": 30,
            "min_fill_percentage": 0.8,
            "stale_after": 10.0,
            "allocation": "configured",
        },
        "quarantine": {"faults": 3, "rows": 100, "budget": 0.05},
        "monitoring": {
            "enable_metrics": True,
            "metrics_interval": 30,
            "alert_cooldown": 300,
            "latency_alert_ms": 1000.0,
        },
        "security": {
            "enable_authentication": True,
            "session_timeout": 3600,
            "max_failed_attempts": 5,
            "clock_drift": 60.0,
        },
        "run": {
            "strategies": ["vwap"],
            "symbols": ["BTC-USD", "ETH-USD", "SOL-USD"],
            "feed": "synthetic",
            "broker": "paper",
            "seed": 7,
            "bars": 0,
            "interval": 60,
            "every": 100,
            "blocked": [],
            "clock": "bar",
        },
        "plugins": {},
    }


def test_every_setting_is_described_and_bounded_as_written_here():
    rows = {row.key: row for row in describe()}
    assert set(rows) == {*WHOLE, *REAL, *CHOICES, *FLAGS, *NAMES, *LISTS}
    for key, (low, high) in WHOLE.items():
        assert rows[key].bounds == f"[{low}, {high}]"
    for key, (low, high, ends) in REAL.items():
        assert rows[key].bounds == f"{ends[0]}{low}, {high}{ends[1]}"
        assert (rows[key].unit == "fraction") == (key in FRACTIONS)
    for key, words in CHOICES.items():
        assert rows[key].bounds == " or ".join(words)
    for key, row in rows.items():
        assert row.default == value_of(Settings(), key)
        assert row.help
        assert row.help[0].islower() or row.help.startswith("UTC")
        group, _, name = key.partition(".")
        metadata = getattr(attrs.fields(type(getattr(Settings(), group))), name).metadata
        assert (metadata["help"], metadata["unit"]) == (row.help, row.unit)


def test_settings_and_groups_are_frozen():
    settings = Settings()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.risk.capital = 1.0
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.risk = Risk()


def test_a_changed_copy_is_checked_again():
    assert attrs.evolve(Risk(), capital=5).capital == 5.0
    message = refusal(attrs.evolve, Risk(), capital=-1)
    assert message == "risk.capital was -1, must lie in (0, 90000000000]."


def test_settings_survive_pickling():
    settings = Settings.from_dict({"risk.capital": 5, "plugins": {"vwap": {"window": 5}}})
    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize("key", WHOLE)
def test_a_whole_number_at_its_limits(key):
    low, high = WHOLE[key]
    for good in {low, low + 1, high - 1, high}:
        found = value_of(with_one(key, good), key)
        assert found == good
        assert type(found) is int
    for bad in (low - 1, high + 1, 10**400):
        assert refusal(with_one, key, bad) == f"from_dict: {key} was {bad}, must lie in [{low}, {high}]."


@pytest.mark.parametrize("wrong", [2.0, 1.5, math.nan, math.inf, True, False, "2", "1e3", None, [2], {}])
@pytest.mark.parametrize("key", WHOLE)
def test_a_whole_number_of_a_wrong_kind(key, wrong):
    low, high = WHOLE[key]
    assert f", must be a whole number in [{low}, {high}]." in refusal(with_one, key, wrong)


@pytest.mark.parametrize("key", REAL)
def test_a_number_at_its_limits(key):
    low, high, ends = REAL[key]
    inside = [math.nextafter(low, math.inf), math.nextafter(high, -math.inf)]
    outside = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf), -math.inf, math.inf, math.nan]
    (inside if ends[0] == "[" else outside).append(low)
    (inside if ends[1] == "]" else outside).append(high)
    for good in inside:
        found = value_of(with_one(key, good), key)
        assert found == good
        assert type(found) is float
    for bad in outside:
        message = refusal(with_one, key, bad)
        assert f"from_dict: {key} was " in message
        assert f", must lie in {ends[0]}{low}, {high}{ends[1]}." in message


@pytest.mark.parametrize("wrong", [True, False, "0.5", "1e3", None, [0.5], {}, 0.5j])
@pytest.mark.parametrize("key", REAL)
def test_a_number_of_a_wrong_kind(key, wrong):
    low, high, ends = REAL[key]
    expected = f", must be a number in {ends[0]}{low}, {high}{ends[1]}."
    assert refusal(with_one, key, wrong).endswith(expected)


@pytest.mark.parametrize("key", [*REAL])
def test_only_a_fraction_above_one_is_told_of_percent(key):
    hinted = "It is a fraction: 250 % is 2.5." in refusal(with_one, key, 250 if key in FRACTIONS else -250)
    assert hinted == (key in FRACTIONS)
    assert "It is a fraction" not in refusal(with_one, key, -0.5)
    assert "It is a fraction" not in refusal(with_one, key, math.nan)
    assert "It is a fraction" not in refusal(with_one, key, math.inf)


@given(st.sampled_from(sorted(REAL)), st.floats(), st.booleans())
def test_a_number_is_taken_exactly_when_it_lies_inside(key, value, whole):
    low, high, ends = REAL[key]
    if whole and math.isfinite(value):
        value = int(value)
    inside = (low <= value if ends[0] == "[" else low < value) and (
        value <= high if ends[1] == "]" else value < high
    )
    if inside:
        assert value_of(with_one(key, value), key) == value
    else:
        refusal(with_one, key, value)


@pytest.mark.parametrize("key", CHOICES)
def test_a_choice(key):
    words = CHOICES[key]
    for word in words:
        assert value_of(with_one(key, word), key) == word
    for wrong in ("", words[0].upper(), words[0] + " ", "x", 1, True, None, [words[0]], math.nan, {}):
        assert f", must be {' or '.join(words)}." in refusal(with_one, key, wrong)


@pytest.mark.parametrize("key", FLAGS)
def test_a_flag(key):
    for word in (True, False):
        assert value_of(with_one(key, word), key) is word
    for wrong in (0, 1, 1.0, "true", "", None, math.nan, []):
        assert refusal(with_one, key, wrong).endswith(", must be true or false.")


@pytest.mark.parametrize("key", NAMES)
def test_a_name(key):
    assert value_of(with_one(key, "x"), key) == "x"
    for wrong in ("", " ", " x", "x ", 1, True, None, math.nan, ["x"]):
        assert refusal(with_one, key, wrong).endswith(", must be a name without spaces around it.")


@pytest.mark.parametrize("key", LISTS)
def test_a_list_of_names(key):
    for good in (["a"], ("a",), ["b", "a"], ["a", "A"]):
        assert value_of(with_one(key, good), key) == tuple(good)
    for wrong in ("a", 1, True, None, math.nan, {"a"}, ["a", ""], [" a"], ["a\n"], [1], [["a"]], [None]):
        message = refusal(with_one, key, wrong)
        assert message.endswith(", must be a list of names without spaces around them.")
    assert (
        refusal(with_one, key, ["a", "b", "a"])
        == f"from_dict: {key} was ['a', 'b', 'a'], must name each once."
    )


@pytest.mark.parametrize("key", ["run.strategies", "run.symbols"])
def test_a_run_needs_a_strategy_and_a_symbol(key):
    assert refusal(with_one, key, []) == f"from_dict: {key} was [], must be 1 or more different names."


def test_a_run_may_have_no_gate():
    assert with_one("risk.gates", []).risk.gates == ()


@pytest.mark.parametrize(
    ("upper", "lower", "others"),
    [
        ("max_weekly_loss", "max_daily_loss", {"max_drawdown": 0.9}),
        ("max_drawdown", "max_weekly_loss", {"max_daily_loss": 0.01}),
        ("max_position_size", "risk_fraction", {}),
    ],
)
def test_one_share_may_not_be_below_another(upper, lower, others):
    over, under = math.nextafter(0.3, 1), math.nextafter(0.3, 0)
    for good in ({upper: over, lower: 0.3}, {upper: 0.3, lower: 0.3}, {upper: 0.3, lower: under}):
        assert getattr(Risk(**others, **good), upper) == good[upper]
    assert refusal(Risk, **others, **{upper: under, lower: 0.3}) == (
        f"risk.{upper} was {under}, must be at least risk.{lower}, which was 0.3:"
        " raise the one or lower the other."
    )


@pytest.mark.parametrize("sizing", ["fixed-quantity", "fixed-notional"])
def test_the_risk_fraction_binds_only_where_it_is_used(sizing):
    assert Risk(sizing=sizing, risk_fraction=0.5, max_position_size=0.1).risk_fraction == 0.5


def test_the_target_of_a_short_lies_above_zero():
    assert Risk(take_profit_pct=math.nextafter(1, 0)).brackets
    assert refusal(Risk, take_profit_pct=1).startswith("risk.take_profit_pct was 1, must be below 1 while ")
    assert refusal(Risk, take_profit_pct=4) == (
        "risk.take_profit_pct was 4, must be below 1 while risk.allow_short and risk.brackets are true,"
        " or a short aims below 0. It is a fraction: 4 % is 0.04."
    )
    assert Risk(take_profit_pct=1, allow_short=False).take_profit_pct == 1
    assert Risk(take_profit_pct=1, brackets=False).take_profit_pct == 1


# --- tables -----------------------------------------------------------------------------------------------


names = st.text("abcXYZ-019", min_size=1, max_size=6)
plain = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)


def some_settings():
    """Any allowed value for a few settings, without the rules between settings in the way."""
    free = {
        **{key: st.integers(*bounds) for key, bounds in WHOLE.items()},
        **{
            key: st.floats(low, high, exclude_min=ends[0] == "(", exclude_max=ends[1] == ")")
            for key, (low, high, ends) in REAL.items()
            if key not in BESIDE
        },
        **{key: st.sampled_from(words) for key, words in CHOICES.items()},
        **{key: st.booleans() for key in FLAGS},
        **dict.fromkeys(NAMES, names),
        **{key: st.lists(names, min_size=least, max_size=3, unique=True) for key, least in LISTS.items()},
    }
    plugins = st.dictionaries(names, st.dictionaries(names, plain, min_size=1, max_size=2), max_size=2)
    return st.fixed_dictionaries({}, optional={**free, "plugins": plugins})


@given(some_settings())
def test_tables_and_settings_say_the_same(changes):
    settings = Settings.from_dict(changes)
    assert Settings.from_dict(settings.to_dict()) == settings
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    for key, value in changes.items():
        if key != "plugins":
            found = value_of(settings, key)
            assert (list(found) if isinstance(found, tuple) else found) == value
    if changes.get("chain.preset") != "strict":
        assert settings.plugins == changes.get("plugins", {})


@given(some_settings())
def test_the_command_line_says_the_same_as_the_tables(changes):
    changes.pop("plugins", None)
    sets = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    assert load(environ={}, sets=sets).settings == Settings.from_dict(changes)


@given(some_settings())
def test_the_environment_says_the_same_as_the_tables(changes):
    changes.pop("plugins", None)
    environ = {
        "NEXUS__" + key.upper().replace(".", "__"): ",".join(value)
        if isinstance(value, list)
        else json.dumps(value)
        for key, value in changes.items()
    }
    assert load(environ=environ).settings == Settings.from_dict(changes)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"risk": {"max_postion": 1}},
            "unknown setting risk.max_postion. Did you mean risk.max_position_size?",
        ),
        ({"risk.capitl": 1}, "unknown setting risk.capitl. Did you mean risk.capital?"),
        ({"rsik": {"capital": 1}}, "unknown setting rsik. Did you mean risk?"),
        ({"rsik": {}}, "unknown setting rsik. Did you mean risk?"),
        ({"capital": 1}, "unknown setting capital. Did you mean risk.capital?"),
        ({"risk": {"Q8#": 1}}, "unknown setting risk.Q8#."),
        ({"risk.capital.x": 1}, "unknown setting risk.capital.x. Did you mean risk.capital?"),
        ({"risk": 5}, "risk was 5, must be a table."),
        ({"risk": True}, "risk was true, must be a table."),
        ({"plugins": 5}, "plugins was 5, must be a table."),
        ({"plugins": {"vwap": 5.0}}, "plugins.vwap was 5, must be a table."),
    ],
)
def test_a_key_that_is_no_setting(tables, message):
    assert refusal(Settings.from_dict, tables) == f"from_dict: {message}"


def test_plugin_parameters_pass_unchecked_and_are_not_shared():
    tables = {
        "plugins": {"vwap": {"levels": [1, {"a": None}], "deep": {"er": 1}}, "a.b": {"c.d": 2}, "empty": {}}
    }
    settings = Settings.from_dict(tables)
    assert settings.plugins == {"vwap": {"levels": [1, {"a": None}], "deep": {"er": 1}}, "a.b": {"c.d": 2}}
    tables["plugins"]["vwap"]["levels"].append(2)
    settings.to_dict()["plugins"]["vwap"]["levels"].append(3)
    assert settings.plugins["vwap"]["levels"] == [1, {"a": None}]


# --- layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", list(itertools.product((False, True), repeat=3)))
def test_a_later_layer_wins(here, layers):
    in_file, in_environment, in_set = layers
    if in_file:
        (here / "nexus.toml").write_text("[risk]\ncapital = 1\nquantity = 2\n")
    environ = {"NEXUS__RISK__CAPITAL": "2"} if in_environment else {}
    found = load(environ=environ, sets=["risk.capital=3"] if in_set else [])
    expected = [(100_000.0, "default")]
    expected += [(1.0, "nexus.toml")] if in_file else []
    expected += [(2.0, "environment NEXUS__RISK__CAPITAL")] if in_environment else []
    expected += [(3.0, "--set")] if in_set else []
    assert (found.settings.risk.capital, found.origin["risk.capital"]) == expected[-1]
    assert found.origin["risk.quantity"] == ("nexus.toml" if in_file else "default")
    assert found.origin["run.seed"] == "default"
    assert found.path == (Path("nexus.toml") if in_file else None)
    assert set(found.origin) == {row.key for row in describe()}


def test_nothing_given_means_the_defaults(here):
    assert load(environ={}) == Resolved(Settings(), {row.key: "default" for row in describe()}, None)


def test_the_process_environment_is_read_when_none_is_given(here, monkeypatch):
    monkeypatch.setenv("NEXUS__RUN__SEED", "11")
    assert load().settings.run.seed == 11
    assert load(environ={}).settings.run.seed == 7


def test_the_last_set_wins(here):
    assert load(environ={}, sets=["run.seed=1", " run.seed = 2 "]).settings.run.seed == 2


def test_a_given_file_is_read_instead_of_the_one_that_lies_here(here, tmp_path):
    (here / "nexus.toml").write_text("run.seed = 1")
    other = tmp_path / "mine.toml"
    other.write_text("run.bars = 2")
    found = load(other, environ={})
    assert (found.settings.run.seed, found.settings.run.bars) == (7, 2)
    assert (found.origin["run.bars"], found.path) == ("mine.toml", other)


FOLDERS = [
    ("linux", {"XDG_CONFIG_HOME": "{}/x", "HOME": "{}/h"}, "x"),
    ("linux", {"XDG_CONFIG_HOME": "", "HOME": "{}/h"}, "h/.config"),
    ("linux", {"HOME": "{}/h"}, "h/.config"),
    ("darwin", {"HOME": "{}/h", "XDG_CONFIG_HOME": "{}/x"}, "h/Library/Application Support"),
    ("win32", {"APPDATA": "{}/a", "HOME": "{}/h"}, "a"),
]


@pytest.mark.parametrize(("platform", "environ", "folder"), FOLDERS)
def test_the_file_of_the_user(here, tmp_path, monkeypatch, platform, environ, folder):
    monkeypatch.setattr("nexus_core.upkeep.sources.sys.platform", platform)
    environ = {name: value.format(tmp_path) for name, value in environ.items()}
    assert load(environ=environ).path is None
    theirs = tmp_path / folder / "nexus" / "nexus.toml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("run.seed = 5")
    found = load(environ=environ)
    assert (found.path, found.settings.run.seed, found.origin["run.seed"]) == (theirs, 5, "nexus.toml")
    (here / "nexus.toml").write_text("run.seed = 6")
    assert load(environ=environ).settings.run.seed == 6


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_without_a_home_there_is_no_file_of_the_user(here, monkeypatch, platform):
    monkeypatch.setattr("nexus_core.upkeep.sources.sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: pytest.fail("the home was asked for"))
    assert load(environ={}).path is None
    assert load(environ={"HOME": ""}).path is None


def test_a_missing_file_is_named(here):
    path = here / "none.toml"
    assert refusal(load, path, environ={}) == (
        f"{path}: was not readable: No such file or directory. Check the path."
    )


def test_a_folder_is_no_file(here):
    assert refusal(load, here, environ={}).startswith(f"{here}: was not readable: ")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"[risk]\ncapital = \n", "line 2"),
        (b"[risk]\n\ncapital 5\n", "line 3"),
        (b"[risk]\ncapital = 1\ncapital = 2\n", "line 3"),
        (b"[run]\nsymbols = ['a',", "at its last line"),
        (b"[run]\nfeed = '\xff'", "position 14"),
    ],
)
def test_a_file_that_is_not_toml_is_named_with_the_line(here, text, where):
    path = here / "nexus.toml"
    path.write_bytes(text)
    message = refusal(load, environ={})
    assert message.startswith("nexus.toml: was not valid TOML: ")
    assert where in message
    assert str(path) + ": " in refusal(load, path, environ={})


def test_a_file_saved_by_a_windows_editor(here):
    (here / "nexus.toml").write_bytes(b'\xef\xbb\xbf[run]\r\nseed = 5\r\nfeed = "f\xc3\xa9"\r\n')
    assert load(environ={}).settings.run == Run(seed=5, feed="f\u00e9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("risk.max_postion = 1", "unknown setting risk.max_postion. Did you mean risk.max_position_size?"),
        ("[rsik]", "unknown setting rsik. Did you mean risk?"),
        ("risk.max_daily_loss = 2", f"risk.max_daily_loss was 2, {PERCENT} 2 % is 0.02."),
        ("risk.max_daily_loss = 2.5", f"risk.max_daily_loss was 2.5, {PERCENT} 2.5 % is 0.025."),
        ("risk.max_daily_loss = 0", "risk.max_daily_loss was 0, must lie in (0, 1]."),
        ("risk.capital = '1e3'", "risk.capital was '1e3', must be a number in (0, 90000000000]."),
        ("risk.capital = true", "risk.capital was true, must be a number in (0, 90000000000]."),
        ("run.bars = 1e3", "run.bars was 1000, must be a whole number in [0, 1000000000]."),
        ("run.symbols = 'A,B'", f"run.symbols was 'A,B', {LISTED}"),
        ("plugins.vwap = 5", "plugins.vwap was 5, must be a table."),
        ("plugins = 5", "plugins was 5, must be a table."),
    ],
)
def test_what_is_wrong_in_a_file(here, text, message):
    (here / "nexus.toml").write_text(text)
    assert refusal(load, environ={}) == f"nexus.toml: {message}"


@pytest.mark.parametrize(
    ("key", "text", "wrong"),
    [
        ("risk.max_postion", "1", "unknown setting risk.max_postion. Did you mean risk.max_position_size?"),
        ("risk.max_daily_loss", "2", f"risk.max_daily_loss was 2, {PERCENT} 2 % is 0.02."),
        ("risk.capital", "", "risk.capital was '', must be a number in (0, 90000000000]."),
        ("risk.capital", "a lot", "risk.capital was 'a lot', must be a number in (0, 90000000000]."),
        ("risk.capital", "nan", "risk.capital was nan, must lie in (0, 90000000000]."),
        ("risk.brackets", "True", "risk.brackets was 'True', must be true or false."),
        ("run.bars", "1.5", "run.bars was 1.5, must be a whole number in [0, 1000000000]."),
        ("run.bars", "inf", "run.bars was inf, must be a whole number in [0, 1000000000]."),
        ("run.symbols", "A,,B", f"run.symbols was ['A', '', 'B'], {LISTED}"),
        ("run.symbols", "A,A", "run.symbols was ['A', 'A'], must name each once."),
        ("run", "5", "run was 5, must be a table."),
        ("plugins.vwap", "5", "plugins.vwap was 5, must be a table."),
        ("run.bars", "1\nx = 2", "run.bars was '1\\nx = 2', must be a whole number in [0, 1000000000]."),
    ],
)
def test_what_is_wrong_in_the_environment_or_on_the_command_line(here, key, text, wrong):
    variable = "NEXUS__" + key.upper().replace(".", "__")
    assert refusal(load, environ={variable: text}) == f"environment {variable}: {wrong}"
    assert refusal(load, environ={}, sets=[f"{key}={text}"]) == f"--set: {wrong}"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("risk.capital", "1e3", 1000.0),
        ("risk.capital", "1_000", 1000.0),
        ("run.bars", "1e3", 1000),
        ("run.seed", "0x10", 16),
        ("risk.brackets", "false", False),
        ("risk.sizing", "fixed-quantity", "fixed-quantity"),
        ("risk.sizing", '"fixed-quantity"', "fixed-quantity"),
        ("run.feed", "2024-01-01", "2024-01-01"),
        ("run.feed", "a=b", "a=b"),
        ("run.symbols", "600519", ("600519",)),
        ("run.symbols", "A", ("A",)),
        ("run.symbols", " A, B ", ("A", "B")),
        ("run.symbols", "600519,000001", ("600519", "000001")),
        ("run.symbols", '"A,B"', ("A", "B")),
        ("run.symbols", '["A,B", "C"]', ("A,B", "C")),
        ("risk.gates", "", ()),
        ("risk.gates", "[]", ()),
    ],
)
def test_a_value_in_the_environment_or_on_the_command_line(here, key, text, value):
    variable = "NEXUS__" + key.upper().replace(".", "__")
    for found in (load(environ={variable: text}), load(environ={}, sets=[f"{key}={text}"])):
        assert value_of(found.settings, key) == value
        assert type(value_of(found.settings, key)) is type(value)


def test_other_variables_are_let_be(here):
    environ = {"NEXUS_HOME": "x", "NEXUS_JIT": "0", "NEXUS_CACHE_DIR": "y", "PATH": "z"}
    assert load(environ=environ).settings == Settings()


@pytest.mark.parametrize("text", ["risk.capital", "", "5000"])
def test_a_set_without_a_value(here, text):
    assert refusal(load, environ={}, sets=[text]) == (
        f"--set: was {text!r}, must be section.key=value, such as risk.capital=5000."
    )


def test_a_rule_between_settings_names_the_layers_that_broke_it(here):
    (here / "nexus.toml").write_text("risk.max_daily_loss = 0.06")
    said = "must be at least risk.max_daily_loss, which was"
    weekly = "risk.max_weekly_loss was"
    assert refusal(load, environ={}).startswith(f"nexus.toml: {weekly} 0.05, {said} 0.06: raise ")
    assert refusal(load, environ={}, sets=["risk.max_weekly_loss=0.04"]).startswith(
        f"--set, nexus.toml: {weekly} 0.04, {said} 0.06: raise "
    )
    assert load(environ={}, sets=["risk.max_weekly_loss=0.06"]).settings.risk.max_weekly_loss == 0.06


def test_a_config_error_has_the_exit_code_of_the_configuration():
    with pytest.raises(ConfigError) as caught:
        Execution(max_slippage=2)
    assert caught.value.exit is Exit.CONFIG


# --- presets ----------------------------------------------------------------------------------------------


BESIDE_STRICT = {"risk.gates": ["regime", "duplicate", "composite"], "chain.preset": "strict"}


def given_by(found, source):
    return {key for key, origin in found.origin.items() if origin == source}


@pytest.mark.parametrize("sets", [[], ["chain.preset=bare"]])
def test_the_bare_preset_is_the_defaults(here, sets):
    found = load(environ={}, sets=[*sets, "risk.gates=composite,regime"])
    assert found.settings == Settings(risk=Risk(gates=("composite", "regime")))
    assert given_by(found, "default") == {*found.origin} - {"risk.gates", *(["chain.preset"] if sets else [])}


def test_the_standard_preset_names_every_strategy_layer_and_gate_of_the_official_set(here):
    found = load(environ={}, sets=["chain.preset=standard"])
    settings, official = found.settings, {each.key: each.distribution for each in offers()}
    assert given_by(found, "preset standard") == {
        "run.strategies",
        "chain.layers",
        "risk.gates",
        "risk.sizing",
    }
    for kind, named in (("strategies", settings.run.strategies), ("layers", settings.chain.layers),
                        ("gates", settings.risk.gates)):  # fmt: skip
        ours = {key.partition(":")[2] for key in official if key.startswith(f"{kind}:")}
        assert set(named) <= ours
        stems = ("nexus-strategy-", "nexus-gate-")
        own = {name for name in ours if official[f"{kind}:{name}"].startswith(stems)}
        assert {*own} - {*named} <= {"book-pressure", "ema-cross", "fall-step", "fall-window", "frame-rsi"}
    assert settings.risk.sizing == "kelly"


def test_the_strict_preset_is_the_standard_one_with_narrower_limits(here):
    strict, standard = (load(environ={}, sets=[f"chain.preset={name}"]) for name in ("strict", "standard"))
    changed = {"risk.min_confidence", "plugins.composite.limit", "plugins.regime.limit"}
    assert given_by(strict, "preset strict") == changed | given_by(standard, "preset standard")
    assert strict.settings.plugins == {"composite": {"limit": 0.5}, "regime": {"limit": 1}}
    assert strict.settings.risk == attrs.evolve(standard.settings.risk, min_confidence=0.65)
    assert strict.settings.run == standard.settings.run


@pytest.mark.parametrize("gates", [[], ["regime"], ["composite"], ["min-size", "composite", "regime"]])
def test_a_preset_says_nothing_of_gates_that_are_not_in_the_chain(gates):
    settings = Settings.from_dict({"chain.preset": "strict", "risk.gates": gates})
    assert settings.risk.min_confidence == 0.65
    assert set(settings.plugins) == {"composite", "regime"} & set(gates)


@pytest.mark.parametrize("key", ["risk.min_confidence", "plugins.composite.limit", "plugins.regime.limit"])
@pytest.mark.parametrize("source", ["nexus.toml", "environment", "--set"])
def test_whatever_is_given_wins_over_the_preset(here, source, key):
    gates = "risk.gates = ['composite', 'regime']\nchain.preset = 'strict'\n"
    (here / "nexus.toml").write_text(gates + (f"{key} = 3e-1" if source == "nexus.toml" else ""))
    variable = "NEXUS__" + key.upper().replace(".", "__")
    environ = {variable: "0.3"} if source == "environment" else {}
    found = load(environ=environ, sets=[f"{key}=0.3"] if source == "--set" else [])
    expected = {"risk.min_confidence": 0.65, "plugins.composite.limit": 0.5, "plugins.regime.limit": 1}
    tables = found.settings.plugins
    assert {
        "risk.min_confidence": found.settings.risk.min_confidence,
        "plugins.composite.limit": tables["composite"]["limit"],
        "plugins.regime.limit": tables["regime"]["limit"],
    } == {**expected, key: 0.3}
    assert found.origin[key] == (f"environment {variable}" if source == "environment" else source)
    assert given_by(found, "preset strict") >= set(expected) - {key}
    assert key not in given_by(found, "preset strict")


def test_a_value_given_as_the_default_has_wins_over_the_preset(here):
    (here / "nexus.toml").write_text("[risk]\nmin_confidence = 0.57\n[chain]\npreset = 'strict'\n")
    found = load(environ={})
    assert found.settings.risk.min_confidence == 0.57
    assert found.origin["risk.min_confidence"] == "nexus.toml"


def test_other_parameters_of_a_gate_stand_beside_the_preset():
    settings = Settings.from_dict({**BESIDE_STRICT, "plugins.composite": {"other": 2}})
    assert settings.plugins == {"composite": {"limit": 0.5, "other": 2}, "regime": {"limit": 1}}


def test_the_preset_that_is_named_last_holds(here):
    (here / "nexus.toml").write_text("chain.preset = 'strict'")
    found = load(environ={}, sets=["chain.preset=bare"])
    assert found.settings == Settings()
    assert given_by(found, "preset strict") == set()


def test_an_unknown_preset(here):
    (here / "nexus.toml").write_text("chain.preset = 'stern'")
    wrong = "chain.preset was 'stern', must be bare or standard or strict."
    assert refusal(load, environ={}) == f"nexus.toml: {wrong}"


@pytest.mark.parametrize(
    "also",
    [
        {},
        {"risk.min_confidence": 0.57},
        {"plugins.composite.limit": 0.4},
        {"plugins.other.limit": 1},
        {"risk.gates": []},
        {"chain.preset": "bare", "plugins.regime.limit": 1},
    ],
)
def test_settings_under_a_preset_read_back_as_they_were(also):
    settings = Settings.from_dict({**BESIDE_STRICT, **also})
    assert Settings.from_dict(settings.to_dict()) == settings
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_no_preset_leaks_into_the_next_settings():
    first = Settings.from_dict(BESIDE_STRICT)
    first.plugins["composite"]["limit"] = 0.9
    assert Settings.from_dict(BESIDE_STRICT).plugins["composite"] == {"limit": 0.5}


# --- parameters of plugins --------------------------------------------------------------------------------


def test_plugin_parameters_in_every_layer(here):
    (here / "nexus.toml").write_text("[plugins.vwap]\nwindow = 5\nband = 1.5\n[plugins.vwap.deep]\na = 1\n")
    environ = {"NEXUS__PLUGINS__VWAP__WINDOW": "6", "NEXUS__PLUGINS__VWAP__MODE": "a,b"}
    found = load(environ=environ, sets=["plugins.vwap.band=2", "plugins.x.y={z = 1}"])
    assert found.settings.plugins == {
        "vwap": {"window": 6, "band": 2, "mode": "a,b", "deep": {"a": 1}},
        "x": {"y": {"z": 1}},
    }
    assert {key: origin for key, origin in found.origin.items() if key.startswith("plugins.")} == {
        "plugins.vwap.window": "environment NEXUS__PLUGINS__VWAP__WINDOW",
        "plugins.vwap.band": "--set",
        "plugins.vwap.deep": "nexus.toml",
        "plugins.vwap.mode": "environment NEXUS__PLUGINS__VWAP__MODE",
        "plugins.x.y": "--set",
    }


@pytest.mark.parametrize(
    ("written", "named"),
    [("", "ema-cross"), ("ema-cross", "ema-cross"), ("ema_cross", "ema_cross"), ("Ema-Cross", "Ema-Cross")],
)
def test_a_variable_reaches_a_plugin_however_the_file_spells_it(here, written, named):
    if written:
        (here / "nexus.toml").write_text(f"[plugins.{written}]\nslow = 20\n")
    plugins = load(environ={"NEXUS__PLUGINS__EMA_CROSS__FAST_ONE": "5"}).settings.plugins
    assert plugins == {named: {"fast_one": 5, **({"slow": 20} if written else {})}}


def test_a_whole_table_on_the_command_line(here):
    found = load(environ={}, sets=["plugins.vwap={window = 5}", "risk={capital = 5}"])
    assert found.settings.plugins == {"vwap": {"window": 5}}
    assert found.settings.risk == Risk(capital=5)


# --- ConfigManager ----------------------------------------------------------------------------------------


def test_get_finds_values_groups_and_plugin_parameters():
    manager = ConfigManager(Settings.from_dict({"plugins": {"vwap": {"window": 5, "a.b": 6}}}))
    assert manager.get("risk.capital") == 100_000.0
    assert manager.get("run.strategies") == ["vwap"]
    assert manager.get("security")["session_timeout"] == 3600
    assert manager.get("plugins.vwap.window") == 5
    assert manager.get("plugins.vwap.a.b") == 6


@pytest.mark.parametrize("key", ["", "risk.none", "none", "risk.capital.x", "plugins.vwap", "risk.__class__"])
def test_get_falls_back_to_its_default(key):
    assert ConfigManager().get(key) is None
    assert ConfigManager().get(key, 9) == 9


def test_update_takes_all_or_nothing():
    manager = ConfigManager()
    assert (
        manager.update({"risk.max_daily_loss": 0.1, "risk": {"max_weekly_loss": 0.2, "max_drawdown": 0.3}})
        is None
    )
    manager.update({"plugins.vwap.window": 5})
    before = manager.settings
    assert before.risk == Risk(max_daily_loss=0.1, max_weekly_loss=0.2, max_drawdown=0.3)
    assert before.plugins == {"vwap": {"window": 5}}
    assert refusal(manager.update, {"run.seed": 1, "risk.max_weekly_loss": 0.05}) == (
        "update: risk.max_weekly_loss was 0.05, must be at least risk.max_daily_loss, which was 0.1:"
        " raise the one or lower the other."
    )
    assert refusal(manager.update, {"run.seed": 1, "run.sed": 2}) == (
        "update: unknown setting run.sed. Did you mean run.seed?"
    )
    assert manager.settings is before


@pytest.mark.parametrize(("before", "after"), [("standard", "strict"), ("strict", "standard")])
def test_update_does_not_change_the_preset(before, after):
    manager = ConfigManager(Settings.from_dict({"chain.preset": before}))
    assert refusal(manager.update, {"chain.preset": after, "run.seed": 1}) == (
        f"update: chain.preset was '{after}', must stay '{before}'. Choose it where settings are first read."
    )
    manager.update({"chain.preset": before, "run.seed": 2})
    assert manager.settings == Settings.from_dict({"chain.preset": before, "run.seed": 2})


def test_a_gate_that_an_update_adds_has_the_limit_of_the_preset():
    manager = ConfigManager(Settings.from_dict({"chain.preset": "strict", "risk.min_confidence": 0.6}))
    manager.update({"risk.gates": ["composite"]})
    assert manager.settings.risk.min_confidence == 0.6
    assert manager.settings.plugins["composite"] == {"limit": 0.5}


def test_export_is_a_copy_that_reads_back():
    manager = ConfigManager(Settings.from_dict({"plugins": {"vwap": {"window": [5]}}, "run.seed": 9}))
    exported = manager.export()
    assert Settings.from_dict(exported) == manager.settings
    exported["plugins"]["vwap"]["window"].append(6)
    exported["run"]["symbols"].clear()
    assert manager.get("plugins.vwap.window") == [5]
    assert manager.settings.run.symbols == Run().symbols


def test_importing_the_settings_is_light():
    script = """
import sys, types
package = types.ModuleType("nexus_core")
package.__path__ = [sys.argv[1]]
sys.modules["nexus_core"] = package
import nexus_core.upkeep.sources
print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
"""
    arguments = [sys.executable, "-I", "-c", script, str(Path(nexus_core.__file__).parent)]
    loaded = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
    assert "attrs" in loaded
    assert not {"numpy", "numba", "cattrs", "pluggy", "stevedore", "typer"} & set(loaded)


def test_whoever_sets_what_nothing_reads_is_told(here, caplog):
    with caplog.at_level("WARNING", logger="nexus"):
        load(None, {}, ["security.clock_drift=5", "risk.capital=5"])
    (said,) = caplog.messages
    assert said == "--set: security.clock_drift is checked, but nothing in this version reads it."
