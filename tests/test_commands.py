"""The commands of nexus: what they print, how they exit, and what they say when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from nexus_core import __version__, cli, plugins, runs
from nexus_core.cli import output
from nexus_core.compile import JIT
from nexus_core.errors import Exit
from nexus_core.journal import Journal
from nexus_core.types import Mode, from_units
from nexus_core.upkeep import homes

NEXUS = [sys.executable, "-c", "import sys; from nexus_core.cli import main; main(sys.argv[1:])"]
BARS = 600 if JIT else 200


@pytest.fixture
def done(said_in_json, lively):
    """Return what a lively run said of itself."""
    return said_in_json("run", *lively())


def refused(answer, code, line):
    assert answer == (code, "", f"nexus: {line}\n")


def journal_of(run):
    with Journal(homes.open_run(run)) as book:
        return book.events(), list(book.traces()), book.last()


def process(*arguments, **options):
    return subprocess.run([*NEXUS, *arguments], capture_output=True, text=True, check=False, **options)


# -- help ---------------------------------------------------------------------------------------------


def test_the_kernels_help_lines_are_the_first_lines_of_each_commands_own_help(nexus):
    for name, line in cli.KERNEL.items():
        code, out, _ = nexus(name, "--help")
        assert code == Exit.OK
        usage, about, *_ = out.split("\n\n")
        assert usage.startswith(f"Usage: nexus {name} ")
        assert " ".join(about.split()) == line


def test_help_lists_every_command_of_the_kernel_in_order(nexus):
    code, out, err = nexus("--help")
    assert (code, err) == (Exit.OK, "")
    listed = re.findall(r"^  (\S+)", out.partition("Commands:\n")[2], re.MULTILINE)
    assert listed[: len(cli.KERNEL)] == list(cli.KERNEL)
    assert nexus("-h") == (code, out, err)


def test_help_and_plugins_import_neither_numpy_nor_numba():
    for arguments in (["--help"], ["--version"], ["plugins", "list"], ["rnu"]):
        code = (
            "import sys\nfrom nexus_core.cli import main\n"
            f"try: main({arguments})\nexcept SystemExit: pass\n"
            "print(sorted({'numpy', 'numba', 'llvmlite'} & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr.splitlines()[-1] == "[]"


def test_the_version(nexus):
    assert nexus("--version") == (Exit.OK, f"nexus {__version__}\n", "")


@pytest.mark.parametrize("arguments", [[], ["config"], ["plugins"]])
def test_a_group_without_a_command_shows_its_help(nexus, arguments):
    code, out, err = nexus(*arguments)
    assert code == Exit.USAGE
    assert "Usage: nexus" in out + err
    assert "Traceback" not in err


# -- what was typed wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean run?"),
        (["zzzzzz"], "No such command 'zzzzzz'.\n"),
        (["run", "--symbol", "X"], "--symbols"),
        (["run", "--bars", "many"], "--bars"),
        (["config", "shwo"], "show"),
        (["journal", "--limit", "-1"], "--limit"),
        (["status", "one", "two"], "two"),
        (["parity", "--symbols", "0"], "--symbols"),
    ],
)
def test_a_wrong_command_or_option_is_said_with_a_hint(nexus, arguments, what):
    code, out, err = nexus(*arguments)
    assert code == Exit.USAGE == 2
    assert out == ""
    assert what in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "--block", "0"], "--block was 0, must be 1 or more."),
        (["run", "--pace", "0"], "--pace was 0, must be fast, real, or a number above 0"),
        (["run", "--pace", "-1"], "--pace was -1, must be fast, real, or a number above 0"),
        (["run", "--pace", "nan"], "--pace was nan, must be fast, real, or a number above 0"),
        (["run", "--pace", "inf"], "--pace was inf, must be fast, real, or a number above 0"),
        (["run", "--pace", "slow"], "--pace was slow, must be fast, real, or a number above 0"),
        (
            ["parity", "--blocks", "64"],
            "--blocks was 64, must be two or more sizes from 1 on, as in 1,64,4096.",
        ),
        (["parity", "--blocks", "0,64"], "--blocks was 0,64, must be two or more sizes"),
        (["parity", "--blocks", "a,b"], "--blocks was a,b, must be two or more sizes"),
        (["plugins", "list", "--kind", "gate"], "Did you mean gates?"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused_in_one_line(nexus, arguments, line):
    code, out, err = nexus(*arguments)
    assert (code, out) == (Exit.USAGE, "")
    assert line in err
    assert (err[:7], err.count("\n")) == ("nexus: ", 1)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("risk.capital=-5", "--set: risk.capital was -5"),
        ("risk.captial=5", "unknown setting risk.captial. Did you mean risk.capital?"),
        ("nonsense", "--set: was 'nonsense', must be section.key=value"),
        ("plugins.vwap.nonsense=1", "vwap: unknown parameter nonsense."),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(nexus, given, line):
    code, out, err = nexus("run", "--set", given)
    assert (code, out) == (Exit.CONFIG, "")
    assert Exit.CONFIG == 4
    assert line in err
    assert (err[:7], err.count("\n")) == ("nexus: ", 1)


def test_a_settings_file_that_is_not_there_is_said(nexus, tmp_path):
    code, _, err = nexus("run", "--config", tmp_path / "none.toml")
    assert code == Exit.CONFIG
    assert f"{tmp_path / 'none.toml'}: was not readable" in err


# -- faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "said"), [
    (ZeroDivisionError("x"), "an unexpected ZeroDivisionError: x. Run again with -v for its trace."),
    (KeyboardInterrupt(), "stopped"),
    (PermissionError(errno.EACCES, "Permission denied", "a.csv"),
     "a.csv: Permission denied. Allow this user to use it, or name another."),
    (OSError(errno.ENOSPC, "No space left on device"),
     "No space left on device. Make room on the disk, and try again."),
    (OSError(errno.EIO, "Input/output error"),
     "an unexpected OSError: [Errno 5] Input/output error. Run again with -v for its trace."),
])  # fmt: skip
def test_an_unexpected_fault_is_one_line_and_a_trace_only_with_v(nexus, monkeypatch, fault, said):
    def fail(*_):
        raise fault

    monkeypatch.setattr(homes, "open_run", fail)
    refused(nexus("status"), Exit.ERROR, said)
    for flag in ("-v", "--verbose"):
        for arguments in ((flag, "status"), ("status", flag)):
            code, out, err = nexus(*arguments)
            assert (code, out) == (Exit.ERROR, "")
            assert err.startswith("Traceback (most recent call last)")
            assert err.endswith(f"nexus: {said}\n")


def test_an_error_of_the_user_has_its_trace_with_v_too(nexus):
    assert "Traceback" not in nexus("status")[2]
    assert "Traceback" in nexus("-v", "status")[2]


def test_q_leaves_errors_only(nexus, lively):
    arguments = ["run", *lively(10, risk__gates="duplciate")]
    assert "gates:duplciate is not installed" in nexus(*arguments)[2]
    assert nexus("-q", *arguments)[2] == ""
    assert nexus("-q", "status", "nowhere")[2] != ""


# -- run ----------------------------------------------------------------------------------------------


def test_a_run_says_what_came_of_it(said_in_json, done):
    events, traces, last = journal_of(done["run"])
    assert (done["finished"], done["ticks"]) == (True, BARS)
    assert done["hash"] == last.run_hash
    assert done["decisions"] == last.decisions == done["approved"] + done["skipped"] + done["rejected"]
    outcomes = np.concatenate([each[0] for each in traces])
    assert len(outcomes) == done["decisions"]
    assert sum(done["refused_by"].values()) == done["skipped"] + done["rejected"]
    fills = events[events["kind"] == 3]
    assert done["fills"] == len(fills) > 0
    assert done["orders"] == len(set(events[events["kind"] == 1]["order"].tolist()))
    assert Decimal(str(done["fees"])) == from_units(int(fills["fee"].sum()))
    assert done["profit"] == done["equity"] - done["capital"]
    assert done["symbols"] == ["A-USD", "B-USD", "C-USD"]
    assert Path(done["folder"]) == homes.open_run(done["run"])


def test_a_run_in_words_says_the_same(nexus, lively, done):
    code, out, err = nexus("run", *lively())
    assert (code, err) == (Exit.OK, "")
    facts = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in out.splitlines() if "  " in line)
    assert facts["decisions"] == f"{done['decisions']:,}"
    assert facts["approved"] == f"{done['approved']:,}"
    assert facts["hash"] == done["hash"]
    assert facts["orders"] == f"{done['orders']:,}, of them {done['fills']:,} filled"
    for name, count in done["refused_by"].items():
        assert facts[name] == f"{count:,}"


def test_the_options_of_run_are_settings_with_the_last_word(said_in_json, lively):
    given = ["--plugins", "swing", "--symbols", "X-USD,Y-USD", "--feed", "walk", "--broker", "paper"]
    made = said_in_json("run", *lively(), *given, "--bars", 40, "--seed", 11, "--block", 16)
    settings = runs.manifest(homes.open_run(made["run"]))["settings"]["run"]
    assert settings["symbols"] == made["symbols"] == ["X-USD", "Y-USD"]
    assert (settings["bars"], settings["seed"], made["ticks"]) == (40, 11, 40)


def test_equal_settings_make_equal_runs_and_another_seed_another(said_in_json, lively, done):
    assert said_in_json("run", *lively(), "--block", 7)["hash"] == done["hash"]
    assert said_in_json("run", *lively(), "--seed", 8)["hash"] != done["hash"]


def test_a_run_tells_of_strategies_that_cannot_be_fed_and_of_answers_outside_the_contract(nexus, lively):
    code, out, _ = nexus("run", *lively(40, run__strategies="bookish,wild"))
    assert code == Exit.OK
    assert re.search(r"bookish +inactive: needs book, trade\n", out)
    assert re.search(r"wild +quarantined since \S+\n", out)


def test_live_needs_the_broker_of_a_venue(nexus):
    code, out, err = nexus("run", "--live", "--bars", 10)
    assert (code, out) == (Exit.CONFIG, "")
    assert err.startswith("nexus: run: paper trades on paper, and --live trades for real.")
    assert homes._candidates(None)[0].exists() is False


@pytest.mark.parametrize("live", [[], ["--live"]])
def test_the_broker_of_a_venue_is_refused(nexus, lively, live):
    code, _, err = nexus("run", *lively(10, run__broker="venue"), *live)
    assert code == Exit.CONFIG
    assert "venue" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--bars", 5], ["--seed", 1], ["--plugins", "vwap"], ["--symbols", "A"], ["--feed", "walk"],
        ["--broker", "paper"], ["--set", "risk.capital=5"], ["--config", "nexus.toml"],
    ],
    ids=lambda options: options[0],
)  # fmt: skip
def test_a_run_goes_on_with_its_own_settings_only(nexus, options):
    line = "--resume goes on with the run's own settings. Leave out those that belong to a new run."
    refused(nexus("run", "--resume", "some-run", *options), Exit.USAGE, line)


def test_resuming_an_unknown_run_is_refused_with_a_hint(nexus, done):
    wrong = done["run"][:-1] + ("0" if done["run"][-1] != "0" else "1")
    code, _, err = nexus("run", "--resume", wrong)
    assert code == Exit.NOT_FOUND == 3
    assert f"Did you mean {done['run']}?" in err


def test_a_finished_run_resumed_says_the_same_again(said_in_json, done):
    again = said_in_json("run", "--resume", done["run"])
    changing = {"seconds", "bars_per_second"}
    assert {k: v for k, v in again.items() if k not in changing} == {
        k: v for k, v in done.items() if k not in changing
    }


# -- progress -----------------------------------------------------------------------------------------


def test_progress_is_silent_off_a_terminal(nexus, lively):
    assert nexus("run", *lively(50), "--block", 1)[2] == ""


def test_progress_is_one_line_on_a_terminal_and_is_cleared(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = output.Progress()
    progress("a longer text")
    progress("short")
    progress.done()
    progress.done()
    said = capsys.readouterr()
    assert said.err == "\ra longer text\rshort        \r     \r"
    assert said.out == ""


def test_a_run_on_a_terminal_shows_how_far_it_is(nexus, lively, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, out, err = nexus("run", *lively(50), "--block", 10)
    assert re.search(r"\r\S+  10 of 50 ticks, \d+ s left", err)
    assert "\n" not in err
    assert err.endswith(" \r")
    assert "\r" not in out


# -- status and journal -------------------------------------------------------------------------------


def test_the_status_of_a_finished_run(nexus, said_in_json, done):
    status = said_in_json("status", done["run"])
    events, _, last = journal_of(done["run"])
    assert (status["run"], status["going"], status["ticks"]) == (done["run"], False, f"{BARS} of {BARS}")
    assert (status["hash"], status["decisions"]) == (done["hash"], done["decisions"])
    assert (status["events"], status["mode"]) == (len(events), "NORMAL")
    assert len(status["positions"]) == done["open_positions"]
    assert Decimal(status["cash"]) == from_units(int(events["cash"][-1]))
    text = nexus("status")[1]
    assert f"hash         {last.run_hash}\n" in text
    for symbol, quantity in status["positions"].items():
        assert re.search(rf"^{symbol} +{quantity}$", text, re.MULTILINE)


def test_the_journal_lists_the_newest_events(nexus, said_in_json, done):
    events, _, last = journal_of(done["run"])
    every = said_in_json("journal", done["run"], "--limit", 0)
    assert [each["seq"] for each in every] == list(range(1, last.events + 1))
    assert said_in_json("journal") == every[-20:]
    assert said_in_json("journal", "--limit", 3) == every[-3:]
    for said, event in zip(every, events, strict=True):
        assert Decimal(said["quantity"]) == from_units(int(event["qty"]))
        assert Decimal(said["price"]) == from_units(int(event["price"]))
        assert Decimal(said["fee"]) == from_units(int(event["fee"]))
        assert Decimal(said["cash"]) == from_units(int(event["cash"]))
        assert said["symbol"] == f"{'ABC'[event['symbol']]}-USD"
    text = nexus("journal", "--limit", 0)[1]
    assert len(text.splitlines()) == 1 + len(every)


def test_the_journal_prints_plain_decimals(nexus, done):
    out = nexus("journal", "--limit", 0)[1]
    assert not re.search(r"\dE[-+]\d", out)
    assert not re.search(r"\.\d*0(?= |$)", out, re.MULTILINE)
    assert re.search(r" 0  ", out)


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0"), (1, "0.00000001"), (10, "0.0000001"), (100_000_000, "1"), (1_000_000_000, "10"),
        (-150_000_000, "-1.5"), (-1, "-0.00000001"), (10_000_000_000_000, "100000"),
        (np.int64(123_456_789), "1.23456789"), (2**63 - 1, "92233720368.54775807"),
    ],
)  # fmt: skip
def test_an_amount_is_a_plain_decimal(units, text):
    assert output.amount(units) == text


def test_a_run_without_events_says_so(nexus, said_in_json, lively):
    assert said_in_json("run", *lively(3))["orders"] == 0
    assert nexus("journal") == (Exit.OK, "no events yet\n", "")
    assert said_in_json("journal") == []


# -- explain ------------------------------------------------------------------------------------------


def test_explain_by_id_by_time_and_the_newest_agree(nexus, said_in_json, done):
    last = said_in_json("explain", "--last")
    assert said_in_json("explain", last["id"]) == last
    assert said_in_json("explain", last["id"], "--run", done["run"]) == last
    assert said_in_json("explain", "--symbol", last["symbol"], "--at", last["time"]) == last
    _, traces, _ = journal_of(done["run"])
    decisions = np.concatenate([each[0] for each in traces])
    opinions = np.concatenate([each[2] for each in traces])
    spoken, first = [], 0
    for one in decisions:
        last_one = first + int(one["opinions"])
        if any(each["signal"] in (-2, -1, 1, 2) for each in opinions[first:last_one]):
            spoken.append(one)
        first = last_one
    newest = spoken[-1]
    assert last["id"] == f"{last['symbol']}@{last['time']}"
    assert last["symbol"] == f"{'ABC'[newest['symbol']]}-USD"
    assert last["direction"] == newest["direction"]
    assert nexus("explain", last["id"])[1].startswith(f"{last['outcome']}  {last['symbol']}  {last['time']}")


def test_explain_shows_an_approved_decision_gate_by_gate(nexus, said_in_json, done):
    first = said_in_json("journal", "--limit", 0)[0]
    assert (first["event"], first["purpose"]) == ("APPROVED", "ENTRY")
    found = said_in_json("explain", f"{first['symbol']}@{first['time']}")
    assert (found["outcome"], found["ended_by"], found["order"]) == ("APPROVED", None, first["order"])
    assert [each["gate"] for each in found["verdicts"]] == ["calm", "duplicate", "position-size", "min-size"]
    assert all(each["passed"] for each in found["verdicts"])
    assert [each["strategy"] for each in found["signals"]] == ["swing"]
    text = nexus("explain", found["id"])[1].splitlines()
    assert text[0].endswith("all gates passed")
    assert [line.split()[:2] for line in text[1:7]] == [
        ["1", "quality"], ["2", "signals"], ["3", "selection"], ["4", "aggregation"], ["5", "routing"],
        ["6", "risk"],
    ]  # fmt: skip
    assert "(uncalibrated)" in text[2]
    assert text[7] == f"  order {first['order']}"


def test_explain_shows_who_ended_a_decision(nexus, said_in_json, done):
    _, traces, _ = journal_of(done["run"])
    decisions = np.concatenate([each[0] for each in traces])
    gates = runs.manifest(homes.open_run(done["run"]))["gates"]
    from nexus_core.types import Outcome, iso

    for number in sorted(set(decisions["reason"].tolist()) - {-1}):
        one = decisions[decisions["reason"] == number][0]
        name, layer, _ = gates[number]
        found = said_in_json("explain", "--symbol", f"{'ABC'[one['symbol']]}-USD", "--at", iso(one["ts"]))
        assert (found["ended_by"], found["layer"]) == (name, layer)
        text = nexus("explain", found["id"])[1].splitlines()
        closes = one["outcome"] == Outcome.APPROVED  # a signal against the position
        assert text[0].endswith("closes the position" if closes else f"by {name} (layer {layer})")
        begins = [n for n, line in enumerate(text) if line[:2] == "  " and line[2].isdigit()]
        assert len(begins) == 6
        said = "\n".join(text[begins[layer - 1] : begins[layer] if layer < 6 else None])
        assert name in said or (layer == 2 and "swing" in said)
        assert all("not reached" in text[n] for n in begins[layer:])


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        ([], Exit.USAGE, "explain: name a decision, or give --last, or --symbol and --at."),
        (["--symbol", "A-USD"], Exit.USAGE, "explain: name a decision"),
        (["nonsense"], Exit.USAGE, "decision id was 'nonsense'; it must look like"),
        (["A-USD@1999-01-01T00:00:00Z"], Exit.NOT_FOUND, "no such decision in the trace, which keeps full."),
        (["A-USE@1999-01-01T00:00:00Z"], Exit.NOT_FOUND, "Did you mean A-USD?"),
        (["--last", "--run", "nowhere"], Exit.NOT_FOUND, "Run nowhere is not in"),
        (["--symbol", "A-USD", "--at", "noon"], Exit.USAGE, "explain: time was 'noon'; write it like"),
        (["A-USD@2026-13-01T00:00:00Z"], Exit.USAGE, "explain: time was '2026-13-01T00:00:00Z'"),
    ],
)
def test_explain_says_what_it_cannot_find(nexus, done, arguments, code, what):
    found, out, err = nexus("explain", *arguments)
    assert (found, out) == (code, "")
    assert what in err
    assert err.count("\n") == 1


def test_explain_finds_no_newest_where_nothing_had_a_signal(nexus, lively, said_in_json):
    said_in_json("run", *lively(3))
    code, out, err = nexus("explain", "--last")
    assert (code, out) == (Exit.NOT_FOUND, "")
    assert "no decision with a signal in the trace, which keeps full." in err


# -- parity -------------------------------------------------------------------------------------------


@pytest.fixture
def checked(nexus, lively):
    """Return a function that runs parity on the market of the shelf."""

    def call(*arguments, bars=BARS, **changes):
        return nexus(
            "parity", "--plugins", "swing", "--symbols", 2, "--bars", bars, *lively(**changes), *arguments
        )

    return call


def test_parity_holds(checked):
    code, out, err = checked("--blocks", "1,5,64,4096", "--json")
    assert (code, err) == (Exit.OK, "")
    data = json.loads(out)
    assert (data["same"], data["symbols"], data["bars"], data["difference"]) == (True, 2, BARS, "")
    assert [run["block"] for run in data["runs"]] == [1, 5, 64, 4096]
    assert len({run["hash"] for run in data["runs"]}) == 1
    assert data["runs"][0]["fills"] > 0
    text = checked("--blocks", "1,64")[1].splitlines()
    assert len(text) == 3
    assert all(line.endswith(data["runs"][0]["hash"]) for line in text[1:])


def test_parity_without_a_trade_proves_nothing(checked):
    code, out, err = checked("--blocks", "1,64", bars=4)
    assert code == Exit.CHECK_FAILED == 5
    assert len(out.splitlines()) == 3
    assert err == (
        "nexus: parity: the hashes agree, but nothing was traded. Take more bars or other strategies.\n"
    )


def test_parity_names_the_first_record_and_column_that_differ(checked, said_in_json, lively):
    gates = "duplicate,crowd,position-size,min-size"
    code, out, err = checked("--blocks", "1,64", risk__gates=gates)
    assert code == Exit.CHECK_FAILED
    hashes = [line.split()[-1] for line in out.splitlines()[1:]]
    assert len(set(hashes)) == 2
    found = re.fullmatch(
        r"nexus: parity: blocks of 1 and of 64 ticks differ: decisions row (\d+) \((\S+), (\S+)\), "
        r"column (\w+): (\S+) and (\S+)\.\n",
        err,
    )
    assert found
    # the same market in two runs of their own, whose journals say where they part
    made = []
    for block in (1, 64):
        symbols = ["--symbols", "S01-USD,S02-USD"]
        run = said_in_json("run", *lively(risk__gates=gates), *symbols, "--block", block)
        made.append(np.concatenate([each[0] for each in journal_of(run["run"])[1]]))
    pairs = zip(*(each.tolist() for each in made), strict=True)
    row, parted = next((n, pair) for n, pair in enumerate(pairs) if str(pair[0]) != str(pair[1]))
    names = made[0].dtype.names
    column = min(name for name, a, b in zip(names, *parted, strict=True) if str(a) != str(b))
    assert (int(found[1]), found[4]) == (row, column)
    assert (found[5], found[6]) == tuple(str(each[row][column]) for each in made)
    assert found[2] == f"S0{made[0][row]['symbol'] + 1}-USD"


def test_parity_says_the_difference_in_json_too(checked):
    code, out, _ = checked("--blocks", "1,64", "--json", risk__gates="duplicate,crowd,position-size,min-size")
    data = json.loads(out)
    assert (code, data["same"]) == (Exit.CHECK_FAILED, False)
    assert data["difference"].startswith("blocks of 1 and of 64 ticks differ: decisions row ")


# -- settings, plugins, compiling ---------------------------------------------------------------------


def test_config_show_names_the_origin_of_each_value(nexus, said_in_json, monkeypatch, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[risk]\ncapital = 5000\nmax_drawdown = 0.5\n[run]\nseed = 3\n")
    monkeypatch.setenv("NEXUS__RUN__SEED", "4")
    monkeypatch.setenv("NEXUS__RUN__BARS", "50")
    given = ["--config", file, "--set", "run.bars=60", "--set", "run.symbols=A-USD,B-USD"]
    data = said_in_json("config", "show", "--resolved", *given)
    assert data["risk.capital"] == {"value": 5000.0, "origin": "mine.toml"}
    assert data["run.seed"] == {"value": 4, "origin": "environment NEXUS__RUN__SEED"}
    assert data["run.bars"] == {"value": 60, "origin": "--set"}
    assert data["run.symbols"] == {"value": ["A-USD", "B-USD"], "origin": "--set"}
    assert data["run.interval"] == {"value": 60, "origin": "default"}
    plain = said_in_json("config", "show", *given)
    assert plain == {key: each["value"] for key, each in data.items()}
    text = nexus("config", "show", "--resolved", *given)[1]
    assert re.search(r"^run\.seed +4 +environment NEXUS__RUN__SEED$", text, re.MULTILINE)
    assert re.search(r"^run\.symbols +A-USD, B-USD +--set$", text, re.MULTILINE)
    assert re.search(r"^run\.symbols +A-USD, B-USD$", nexus("config", "show", *given)[1], re.MULTILINE)


def test_config_show_shows_the_parameters_of_plugins(said_in_json):
    data = said_in_json("config", "show", "--resolved", "--set", "plugins.vwap.period=30")
    assert data["plugins.vwap.period"] == {"value": 30, "origin": "--set"}


def test_plugins_list(nexus, said_in_json, shelf):
    every = said_in_json("plugins", "list")
    columns = "kind name distribution version summary api needs state reason grade"
    assert set(every[0]) == set(columns.split())
    feeds = said_in_json("plugins", "list", "--kind", "feeds")
    assert feeds == [each for each in every if each["kind"] == "feeds"]
    assert {"walk", "synthetic"} <= {each["name"] for each in feeds}
    text = nexus("plugins", "list", "--kind", "feeds")[1].splitlines()
    head = "kind name distribution version api needs state grade"
    assert text[0].split() == head.split()
    assert any(line.split()[:4] == ["feeds", "walk", "nexus-test-shelf", "1.0"] for line in text)


def test_plugins_list_says_when_there_is_nothing(nexus, monkeypatch):
    monkeypatch.setattr(plugins, "offers", tuple)
    assert nexus("plugins", "list", "--kind", "feeds") == (Exit.OK, "nothing installed\n", "")


def test_compile_says_what_it_compiled_and_prunes_what_is_old(
    nexus, said_in_json, lively, monkeypatch, tmp_path
):
    from nexus_core import compile, engine

    root = tmp_path / "cache"
    for name, days in (("old", 31), ("young", 29)):
        (root / name).mkdir(parents=True)
        moment = time.time() - days * 86_400
        os.utime(root / name, (moment, moment))
    said_in_json("run", *lively(3))  # from here on all of it is in this process
    monkeypatch.setattr(compile, "_root", [root])
    data = said_in_json("compile", *lively())
    assert (data["compiled"], data["pruned"], data["cache"]) == ([], 1, str(root))
    assert (root / "young").exists()
    assert not (root / "old").exists()
    assert nexus("compile", *lively())[1].startswith("everything was compiled already (")
    monkeypatch.setattr(engine, "is_warm", lambda _: False)
    code, out, err = nexus("compile", *lively())
    assert code == Exit.OK
    assert out.startswith("compiled swing, the outcomes, the chain, the ledger (")
    assert err.splitlines() == [
        f"nexus: compiling {part}" for part in ("swing", "the outcomes", "the chain", "the ledger")
    ]


def test_compile_all_takes_every_installed_strategy(nexus, lively, monkeypatch):
    from nexus_core import engine
    from nexus_core.upkeep import ahead

    assembled = []

    class Assembly:
        def warm(self, _progress):
            pass

    def assemble(settings):
        assembled.append(settings.run.strategies)
        return Assembly()

    monkeypatch.setattr(engine, "assemble", assemble)
    monkeypatch.setattr(ahead, "compile_ahead", lambda *_: None)
    assert nexus("compile", *lively(), "--all")[0] == Exit.OK
    assert {"swing", "vwap", "ema-cross"} <= set(assembled[0])


# -- in processes of their own ------------------------------------------------------------------------


def test_a_reader_that_goes_away_ends_a_command_quietly(done):
    for arguments in (["journal", "--limit", "0"], ["config", "show"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            told = subprocess.run([*NEXUS, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True)
        finally:
            os.close(writing)
        assert (told.returncode, told.stderr) == (Exit.OK, "")


def test_exit_codes_reach_the_shell(tmp_path):
    assert process("status", "--out", str(tmp_path)).returncode == 3
    assert process("rnu").returncode == 2
    broken = process("run", "--set", "risk.capital=-5")
    assert (broken.returncode, broken.stdout, broken.stderr.count("\n")) == (4, "", 1)


def wait(going, until):
    while not until():
        assert going.poll() is None, "the run ended before its time"
        time.sleep(0.02)


def test_a_going_run_is_halted_reduced_flattened_and_resumed(nexus, said_in_json, lively, tmp_path):
    said_in_json("run", *lively(3), "--out", tmp_path / "warm")
    home = ("--out", str(tmp_path / "runs"))
    # 60 s of market in 0.02 s: long enough to be asked, whatever the machine does meanwhile
    going = subprocess.Popen(
        [*NEXUS, "run", *lively(1_000_000), *home, "--pace", "3000", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def status():
        code, out, _ = nexus("status", *home, "--json")
        return json.loads(out) if code == Exit.OK else {}

    def reached(mode):
        return lambda: status().get("mode") == mode

    try:
        wait(going, lambda: status().get("decisions", 0) > 0)
        assert status()["going"]
        for command, mode in (
            (["halt"], Mode.PAUSED),
            (["halt", "--reduce"], Mode.REDUCED),
            (["flatten"], Mode.EMERGENCY),
            (["resume"], Mode.NORMAL),
        ):
            code, out, err = nexus(*command, "--why", "to see", *home)
            assert (code, err) == (Exit.OK, "")
            assert out.endswith(f"{mode.name} asked for; the run takes it up at its next tick.\n")
            wait(going, reached(mode.name))
        run = status()["run"]
        code, _, err = nexus("run", "--resume", run, *home)
        assert code == Exit.ERROR
        assert err == f"nexus: {run}: another process is writing this run. Stop it first.\n"
    finally:
        going.terminate()
        out, err = going.communicate()
    assert (going.returncode, err) == (Exit.OK, "")
    said = json.loads(out)
    assert (said["run"], said["finished"]) == (run, False)
    assert not status()["going"]
    # what was asked for stands in the journal, and in words too
    modes = [
        each for each in json.loads(nexus("journal", "--limit", 0, *home, "--json")[1]) if "mode" in each
    ]
    assert [each["mode"] for each in modes] == ["PAUSED", "REDUCED", "EMERGENCY", "NORMAL"]
    assert re.search(r"MODE +EMERGENCY, .+: ", nexus("journal", "--limit", 0, *home)[1])
    with Journal(tmp_path / "runs" / run) as book:
        assert [each.why.endswith(": to see") for each in book.inputs()] == [True] * 4
    answer = nexus("halt", run, *home)
    assert (
        answer[1] == f"{run}: PAUSED asked for; the run takes it up when it goes on; it is not going now.\n"
    )


def test_a_finished_run_takes_no_request(nexus, done):
    line = f"{done['run']}: is finished, nothing will take the request up. Name a run that goes on."
    for command in ("halt", "resume", "flatten"):
        refused(nexus(command, done["run"]), Exit.USAGE, line)
