"""Real runs, each in a process of its own: the gate between its neighbours, and without them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
QUALITY = """
from nexus_core import Gate, Param, Strategy


class Liquidity(Gate):
    nexus_api = 1
    layer, passes, refuses = 1, "market", "below"
    limit = Param(0.0, low=0.0, high=1.0, help="least")

    @staticmethod
    def values(columns, state, params):
        return columns.close * 0.0 + 1.0


class Regime(Liquidity):
    nexus_api = 1


class Always(Strategy):
    nexus_api = 1
    category = "trend_following"

    @staticmethod
    def step(row, state, params):
        return 1, 1.0
"""
POINTS = """
[nexus.gates]
liquidity = test_quality:Liquidity
regime = test_quality:Regime
[nexus.strategies]
always = test_quality:Always
"""
HOUR = ("2025-12-01T00:00:00Z", "2026-01-01T01:00:00Z", "2026-02-01T00:00:00Z")
REFUSED = 19
"""Minutes less than ten from the announcement at 01:00."""


@pytest.fixture
def nexus(tmp_path):
    """Return a function that calls nexus where two gates of layer 1 and a strategy are installed."""
    info = tmp_path / "packages" / "test_quality-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-quality\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (info.parent / "test_quality.py").write_text(QUALITY)
    only = "event-calendar,test-quality,feeds:synthetic,brokers:paper"
    environ = os.environ | {"PYTHONPATH": str(info.parent), "NEXUS_PLUGINS": only}

    def call(*words):
        done = subprocess.run(
            [sys.executable, "-m", "nexus_core", *map(str, words)],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def run(*sets):
    options = ["--plugins", "always", "--symbols", "BTC-USD", "--bars", "120", "--json"]
    sets = ("plugins.event-calendar.file=calendar.csv", "plugins.event-calendar.limit=10", *sets)
    return ["run", *options, *(word for each in sets for word in ("--set", each))]


def done(answer):
    code, out, said = answer
    assert code == 0, said
    return json.loads(out)


def test_it_binds_and_is_shown_between_its_neighbours(nexus, calendar):
    calendar(*HOUR)
    code, out, said = nexus(*run("risk.gates=liquidity,regime"))
    assert code == 0, said
    assert "stands beside" not in said
    assert json.loads(out)["refused_by"]["announcement (layer 1)"] == REFUSED
    for at, ended in (("00:50", None), ("00:51", "announcement"), ("01:00", "announcement"), ("01:10", None)):
        told = done(nexus("explain", f"BTC-USD@2026-01-01T{at}:00Z", "--json"))
        gates = [each["gate"] for each in told["verdicts"]]
        shown = next(each for each in told["verdicts"] if each["gate"] == "announcement")
        assert gates[:2] == ["liquidity", "announcement"]
        assert (shown["layer"], shown["limit"], shown["refuses"]) == (1, 10.0, "below")
        if ended:
            assert (told["ended_by"], told["outcome"], gates[-1]) == (ended, "SKIPPED", ended)
            assert shown["value"] == abs(60 - int(at[:2]) * 60 - int(at[3:]))
        else:
            assert told["ended_by"] != "announcement"
            assert gates[2] == "regime"
            assert shown["value"] == 10.0
    text = nexus("explain", "BTC-USD@2026-01-01T01:10:00Z")[1]
    assert "announcement 10 >= 10" in " ".join(text.split())


def test_without_a_gate_liquidity_it_stands_in_its_layer_with_one_warning(nexus, calendar):
    calendar(*HOUR)
    code, out, said = nexus(*run("risk.gates=regime"))
    assert code == 0, said
    assert json.loads(out)["refused_by"]["announcement (layer 1)"] == REFUSED
    assert said.count("gate announcement: stands beside liquidity, which is not in this chain") == 1
    told = done(nexus("explain", "BTC-USD@2026-01-01T01:10:00Z", "--json"))
    assert [each["gate"] for each in told["verdicts"]][:2] == ["regime", "announcement"]


def test_an_unknown_file_is_one_line_and_no_run(nexus):
    code, out, said = nexus(*run("risk.gates=liquidity,regime"))
    line = "plugins.event-calendar.file was 'calendar.csv', which cannot be read: No such file or directory."
    assert (code, out, said) == (4, "", f"nexus: {line}\n")


def test_a_run_that_asks_for_nothing_is_as_if_it_were_not_installed(nexus):
    words = ["run", "--plugins", "always", "--bars", "120", "--json", "--set", "risk.gates=liquidity,regime"]
    answer = nexus(*words)
    assert "announcement" not in answer[2]
    assert done(answer)["hash"] == done(nexus(*words, "--set", "run.blocked=event-calendar"))["hash"]


def test_a_run_goes_on_with_a_renewed_calendar_and_not_without_one(nexus, calendar):
    path = calendar(*HOUR)
    begun = done(nexus(*run("risk.gates=liquidity,regime")))
    calendar(*HOUR, "2026-01-20T00:00:00Z")
    again = done(nexus("run", "--resume", begun["run"], "--json"))
    assert again["hash"] == begun["hash"]
    path.unlink()
    code, out, said = nexus("run", "--resume", begun["run"], "--json")
    assert (code, out) == (4, "")
    assert said.splitlines()[-1].startswith("nexus: plugins.event-calendar.file was 'calendar.csv', which")


def block(language):
    text = README.read_text().partition(f"```{language}\n")[2].partition("```")[0]
    assert text
    return text


def test_the_readme_shows_what_happens(tmp_path):
    (tmp_path / "calendar.csv").write_text(block("csv file=calendar.csv"))
    script = "\n".join(line.removeprefix("$ ") for line in block("console").splitlines())
    shown = subprocess.run(
        ["bash", "-ec", script],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "announcement (layer 1)" in shown.stdout
    assert "1 quality" in shown.stdout
