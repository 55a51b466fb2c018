"""What listeners hear of a real run, against its journal; and listeners that fail in every way."""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import sys
from decimal import Decimal

import numpy as np
import pytest

from nexus_core import cli, hookspecs, listeners, log, runs, safety, session
from nexus_core.compile import JIT
from nexus_core.engine import assemble
from nexus_core.errors import ConfigError, JournalError, PluginError
from nexus_core.journal import Journal
from nexus_core.ledger.orders import APPROVAL, FILL, MOVE
from nexus_core.listeners import HOOKS, Listeners, installed
from nexus_core.types import Mode, Outcome, from_units, iso
from nexus_core.upkeep import recovery
from nexus_core.upkeep.sources import load

BARS = 900 if JIT else 200
EXAMPLES = ("alert", "event-calendar")
"""Listeners that are installed here, and that nobody wants to hear."""
HEAD = "from nexus_core import Gate, Param, hookimpl\ntold = []\n"
GATE = """
class Guard(Gate):
    nexus_api = 1
    layer, passes = 3, "market"
    limit = Param({limit}, low=-10.0, high=10.0, help="what is let through")

    @staticmethod
    def values(columns, state, params):
        return columns.close * 0.0 + 1.0

class After(Guard):
    after = "calm"

class Before(Guard):
    before = "calm"

class Lost(Guard):
    after = "clam"

@hookimpl
def nexus_gates(settings):
    return {answer}
"""


def listening(*hooks):
    """Return the text of a module that keeps what it is told by these hooks."""
    text = HEAD
    for hook in hooks:
        names = list(inspect.signature(getattr(hookspecs, hook)).parameters)
        kept = ", ".join(f"{each}={each}" for each in names)
        text += f"\n@hookimpl\ndef {hook}({', '.join(names)}):\n    told.append(({hook!r}, dict({kept})))\n"
    return text


def raising(hook, times=10**9):
    return (
        f"{HEAD}\n@hookimpl\ndef {hook}():\n    told.append(1)\n"
        f"    if len(told) <= {times}:\n        raise ValueError('no ear for it')\n"
    )


@pytest.fixture
def chosen(sets):
    def made(**changes):
        blocked = ",".join([*EXAMPLES, *filter(None, [changes.pop("run__blocked", "")])])
        return load(None, sets=sets(BARS, run__blocked=blocked, **changes)).settings

    return made


@pytest.fixture
def said():
    """Collect what is said to the person at the terminal."""
    lines, handler = [], logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.setup()
    logging.getLogger("nexus").handlers = [handler]
    return lines


@pytest.fixture
def home(ram):
    folder = ram / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def ear(install):
    """Install a listener to every hook; return a function that gives what it heard of one."""
    install("test-ear", {"hooks:ear": "test_ear"}, listening(*HOOKS))

    def of(hook=None):
        told = sys.modules["test_ear"].told
        return told if hook is None else [each for name, each in told if name == hook]

    return of


def quiet(_):
    pass


def play(home, settings, on_commit=quiet, block=16):
    work = session.begin(home, assemble(settings), block)
    try:
        work.play(on_commit)
    finally:
        work.close()
    return work


def at(commit, act):
    """Return what acts once, when so many commits have been made."""
    seen = []

    def on_commit(batch):
        seen.append(batch)
        if len(seen) == commit:
            act()

    return on_commit


def events_of(work, *kinds):
    with Journal(work.folder) as journal:
        events = journal.events()
    return events[np.isin(events["kind"], kinds)]


def hash_of(work):
    return work.engine.ledger.run_hash


def book_of(work, capsys):
    """Return all events of a run's journal as the command prints them."""
    out = command(capsys, "journal", work.folder.name, "--limit", "0", "--json", "--out", work.folder.parent)
    return json.loads(out)


def command(capsys, *arguments, code=0):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main([str(each) for each in arguments])
    said = capsys.readouterr()
    assert stop.value.code == code, said.err
    return said.out


# -- each hook, in a real run -------------------------------------------------------------------------


def test_every_hook_has_a_test():
    assert set(HOOKS) <= {name.removeprefix("test_") for name in globals()}
    assert all(hook.startswith("nexus_") for hook in HOOKS)


def test_nexus_start(ear, home, chosen):
    work = play(home, chosen())
    assert ear()[1][0] == "nexus_start"
    assert ear("nexus_start") == [{"run": work.folder.name, "settings": chosen()}]
    recovery.resume(work.folder, 16, quiet).close()
    assert len(ear("nexus_start")) == 1


def test_nexus_stop(ear, home, chosen):
    work = play(home, chosen())
    assert ear()[-1] == ("nexus_stop", {"run": work.folder.name, "finished": True})
    work = play(home, chosen(), at(3, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert ear()[-1] == ("nexus_stop", {"run": work.folder.name, "finished": False})


def test_nexus_commit(ear, home, chosen):
    batches = []
    work = play(home, chosen(), batches.append)
    wanted = [{"run": work.folder.name, "tick": each.tick, "timestamp": each.ts} for each in batches]
    assert ear("nexus_commit") == wanted
    assert wanted[-1]["tick"] == BARS


LOOKS = """
import pathlib
from nexus_core import hookimpl, runs
from nexus_core.journal import Journal

seen = []

def journal(run):
    with Journal(pathlib.Path(FOLDER) / run) as journal:
        return journal.last(), journal.events()

@hookimpl
def nexus_fill(run, fill):
    _, events = journal(run)
    seen.append(fill.timestamp in events["ts"][events["kind"] == 3])

@hookimpl
def nexus_order(run, order):
    number = int(order.order_id.rpartition("_")[2])
    seen.append(number in journal(run)[1]["order"])

@hookimpl
def nexus_commit(run, tick, timestamp):
    last, _ = journal(run)
    seen.append((last.tick, last.ts) == (tick, timestamp))

@hookimpl
def nexus_decision(run, decision):
    seen.append(journal(run)[0].ts >= decision.timestamp)
"""


def test_nothing_is_told_before_it_is_on_the_disk(install, home, chosen):
    install("test-looks", {"hooks:looks": "test_looks"}, LOOKS.replace("FOLDER", repr(str(home))))
    play(home, chosen(run__bars=150))
    seen = sys.modules["test_looks"].seen
    assert len(seen) > 300
    assert all(seen)


def test_a_commit_that_fails_is_told_to_nobody(ear, home, chosen, monkeypatch):
    def fail(_journal, batch):
        if batch.tick > 100:
            raise JournalError("the disk is full")
        return commit(_journal, batch)

    commit = Journal.commit
    monkeypatch.setattr(Journal, "commit", fail)
    with pytest.raises(JournalError):
        play(home, chosen())
    told = ear("nexus_commit")
    assert told[-1]["tick"] == 97
    last = told[-1]["timestamp"]
    assert all(each["decision"].timestamp <= last for each in ear("nexus_decision"))
    assert all(each["fill"].timestamp <= last for each in ear("nexus_fill"))
    assert [each["title"] for each in ear("nexus_alert")] == ["broke off"]


@pytest.mark.parametrize("trace", ["full", "approved", "orders"])
def test_nexus_decision(ear, home, chosen, trace):
    work = play(home, chosen(performance__trace=trace))
    told = [each["decision"] for each in ear("nexus_decision")]
    gates = runs.manifest(work.folder)["gates"]
    wanted = []
    with Journal(work.folder) as journal:
        for decisions, verdicts, _ in journal.traces():
            first = 0
            for one in decisions:
                own = verdicts[first : first + one["verdicts"]]
                first += int(one["verdicts"])
                symbol = f"{'ABC'[one['symbol']]}-USD"
                wanted.append((
                    f"{symbol}@{iso(int(one['ts']))}", symbol, int(one["ts"]), Outcome(int(one["outcome"])),
                    gates[one["reason"]][0] if one["reason"] >= 0 else "", int(one["direction"]),
                    float(one["confidence"]), from_units(int(one["equity"])),
                    tuple((*gates[v["gate"]][:2], float(v["value"]), bool(v["passed"])) for v in own),
                    int(one["order"]),
                ))  # fmt: skip
    heard = [
        (
            each.id, each.symbol, each.timestamp, each.outcome, each.reason, each.direction, each.confidence,
            each.equity, tuple((v.gate, v.layer, v.value, v.passed) for v in each.verdicts),
            int(each.order_id.rpartition("_")[2]) if each.order_id else 0,
        )
        for each in told
    ]  # fmt: skip
    assert heard == wanted
    assert (len(told) == work.engine.ledger.account["decisions"][0]) == (trace == "full")
    if trace == "full":
        assert {each.outcome for each in told} >= {Outcome.APPROVED, Outcome.SKIPPED}


def test_a_decision_that_is_told_says_what_explain_says(ear, home, chosen, capsys):
    work = play(home, chosen())
    one = next(each["decision"] for each in ear("nexus_decision") if each["decision"].order_id)
    out = command(capsys, "explain", one.id, "--run", work.folder.name, "--out", home, "--json")
    found = json.loads(out)
    assert (found["outcome"], found["order"]) == (one.outcome.name, one.order_id)
    assert found["direction"] == one.direction
    verdicts = [(each["gate"], each["layer"], each["value"], each["limit"]) for each in found["verdicts"]]
    assert verdicts == [(each.gate, each.layer, each.value, each.limit) for each in one.verdicts]


def test_nexus_order(ear, home, chosen, capsys):
    work = play(home, chosen(risk__on_opposite="reverse"))
    told = [each["order"] for each in ear("nexus_order")]
    wanted = [each for each in book_of(work, capsys) if each["event"] in ("APPROVED", "MOVED")]
    assert len(told) == len(wanted) == len(events_of(work, APPROVAL, MOVE)) > 20
    for order, line in zip(told, wanted, strict=True):
        assert (order.order_id, order.symbol, order.side.name) == (
            line["order"], line["symbol"], line["side"],
        )  # fmt: skip
        assert (order.kind.name, order.purpose.name, order.state.name) == (
            line["kind"], line["purpose"], line["state"],
        )  # fmt: skip
        assert (order.quantity, order.price) == (Decimal(line["quantity"]), Decimal(line["price"]))
        assert iso(order.timestamp) == line["time"]


def test_nexus_fill(ear, home, chosen, capsys):
    work = play(home, chosen())
    told = [each["fill"] for each in ear("nexus_fill")]
    wanted = [each for each in book_of(work, capsys) if each["event"] == "FILLED"]
    assert len(told) == len(wanted) == int(work.engine.ledger.account["fills"][0]) > 10
    for fill, line in zip(told, wanted, strict=True):
        assert (fill.order_id, fill.symbol, fill.side.name) == (line["order"], line["symbol"], line["side"])
        assert (fill.quantity, fill.price, fill.fee) == tuple(
            Decimal(line[each]) for each in ("quantity", "price", "fee")
        )
        assert iso(fill.timestamp) == line["time"]
    assert {each["run"] for each in ear("nexus_fill")} == {work.folder.name}


def reckoned(trades, work):
    """Check trades against the account, to the last unit."""
    account, positions = work.engine.ledger.account[0], work.engine.ledger.positions
    assert len(trades) == int(account["trades"]) > 3
    assert sum(each.profit > 0 for each in trades) == int(account["wins"])
    still_open = from_units(int(positions["trade"].sum()))
    net = from_units(int(account["realised"]) - int(account["fees"]))
    assert sum((each.profit for each in trades), still_open) == net


@pytest.mark.parametrize("on_opposite", ["close", "reverse", "ignore"])
def test_nexus_trade_closed(ear, home, chosen, on_opposite):
    work = play(home, chosen(risk__on_opposite=on_opposite))
    trades = [each["trade"] for each in ear("nexus_trade_closed")]
    reckoned(trades, work)
    assert [wanted(each) for each in trades] == walked(events_of(work, FILL))


def wanted(trade):
    return "ABC".index(trade.symbol[0]), int(trade.side), trade.quantity, trade.opened, trade.closed


def walked(fills):
    """Go through fills one by one: symbol, side, most held, opened and closed, of each trade."""
    begun, made = {}, []
    for each in fills:
        s, after, ts = int(each["symbol"]), int(each["position"]), int(each["ts"])
        before = after - int(each["side"]) * int(each["qty"])
        sides = [(q > 0) - (q < 0) for q in (before, after)]
        if before and sides[0] != sides[1]:
            opened, most = begun.pop(s)
            made.append((s, sides[0], from_units(most), opened, ts))
        if after:
            opened, most = begun.setdefault(s, (ts, 0))
            begun[s] = (opened, max(most, abs(after)))
    return made


@pytest.mark.parametrize("on_opposite", ["close", "reverse"])
@pytest.mark.parametrize("commits", [2, 9])
def test_a_trade_begun_before_a_crash_ends_with_its_whole_result(ear, home, chosen, on_opposite, commits):
    whole = play(home, chosen(risk__on_opposite=on_opposite))
    wanted = [each["trade"] for each in ear("nexus_trade_closed")]
    ear().clear()

    def kill():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(home, chosen(risk__on_opposite=on_opposite), at(commits, kill))
    folder = max(home.iterdir(), key=lambda each: (each / "run.json").stat().st_mtime_ns)
    assert whole.folder != folder
    work = recovery.resume(folder, 16, quiet)
    work.play(quiet)
    work.close()
    trades = [each["trade"] for each in ear("nexus_trade_closed")]
    assert hash_of(work) == hash_of(whole)
    assert trades == wanted
    reckoned(trades, work)


def test_nexus_mode(ear, home, chosen, capsys):
    runs_made = []

    def ask(mode, why):
        folder = max(home.iterdir())
        runs_made.append(folder)
        safety.ask(folder, mode, why, "anna")

    def on_commit(batch):
        seen.append(batch)
        if len(seen) == 3:
            ask(Mode.PAUSED, "lunch")
        if len(seen) == 6:
            ask(Mode.NORMAL, "back: well fed")

    seen = []
    work = play(home, chosen(), on_commit)
    told = [(each["mode"], each["why"]) for each in ear("nexus_mode")]
    assert told == [(Mode.PAUSED, "anna: lunch"), (Mode.NORMAL, "anna: back: well fed")]
    lines = [each for each in book_of(work, capsys) if each["event"] == "MODE"]
    assert [(mode.name, why) for mode, why in told] == [(each["mode"], each["why"]) for each in lines]


def test_a_mode_that_the_circuit_breaker_changes_is_told_with_its_reason(ear, home, chosen):
    play(home, chosen(risk__breaker_loss=0.0001, risk__max_position_size=0.5, risk__risk_fraction=0.5))
    told = [(each["mode"], each["why"]) for each in ear("nexus_mode")]
    assert told[0] == (Mode.PAUSED, "circuit breaker: lost or rejected too much this hour")
    assert ear("nexus_alert")[0]["title"] == "PAUSED"


def test_the_reason_of_a_mode_is_not_taken_from_what_came_with_it(ear, home, chosen):
    # a quarantine in the block that takes up the request: its record has the mode of nothing, which is NORMAL
    def on_commit(batch):
        seen.append(batch)
        if len(seen) == 1:
            folder = max(home.iterdir())
            safety.ask(folder, Mode.PAUSED, "first", "anna")
            safety.ask(folder, Mode.NORMAL, "second", "anna")

    seen = []
    settings = chosen(run__strategies="swing,wild", quarantine__faults=100, quarantine__rows=1000)
    work = play(home, settings, on_commit, block=64)
    with Journal(work.folder) as journal:
        ticks = [each.tick for each in journal.inputs()]
    assert len(ticks) == 3
    assert len(set(ticks)) == 1
    told = [(each["mode"], each["why"]) for each in ear("nexus_mode")]
    assert told == [(Mode.PAUSED, "anna: first"), (Mode.NORMAL, "anna: second")]


def test_nexus_quarantine(ear, home, chosen):
    work = play(home, chosen(run__strategies="swing,wild"))
    assert list(work.engine.ward.silent()) == ["wild"]
    (told,) = ear("nexus_quarantine")
    assert told == {"run": work.folder.name, "strategy": "wild", "why": "3 faults in 7 rows"} | {
        "why": told["why"]
    }
    assert told["why"].startswith("3 faults in ")


def test_nexus_alert(ear, home, chosen):
    def ask():
        safety.ask(max(home.iterdir()), Mode.REDUCED, "windy", "anna")

    work = play(home, chosen(run__strategies="swing,wild"), at(5, ask))
    told = [(each["title"], each["text"]) for each in ear("nexus_alert")]
    (quarantine,) = ear("nexus_quarantine")
    assert told == [("quarantine", f"wild: {quarantine['why']}"), ("REDUCED", "anna: windy")]
    assert {each["run"] for each in ear("nexus_alert")} == {work.folder.name}

    def fail():
        raise RuntimeError("the roof came down")

    with pytest.raises(RuntimeError):
        play(home, chosen(), at(2, fail))
    assert ear()[-2][0] == "nexus_alert"
    assert ear("nexus_alert")[-1] == {
        "run": max(home.iterdir(), key=lambda each: each.stat().st_ctime_ns).name,
        "title": "broke off",
        "text": "RuntimeError: the roof came down",
    }
    assert ear()[-1][1]["finished"] is False


def test_nexus_result(ear, sets, home, capsys):
    given = [part for each in sets(100) for part in ("--set", each)]
    out = command(capsys, "run", *given, "--json", "--out", home)
    (told,) = ear("nexus_result")
    printed = json.loads(out)
    assert told["run"] == printed["run"]
    assert json.loads(json.dumps(told["result"])) == printed


def test_a_result_that_a_listener_spoils_is_printed_as_it_was(install, sets, home, capsys):
    spoils = (
        HEAD + "@hookimpl\ndef nexus_result(result):\n    result['refused_by'].clear()\n    result.clear()\n"
    )
    install("test-spoils", {"hooks:spoils": "test_spoils"}, spoils)
    given = [part for each in sets(100) for part in ("--set", each)]
    printed = json.loads(command(capsys, "run", *given, "--json", "--out", home))
    assert printed["finished"]
    assert printed["refused_by"]


# -- gates that listeners insert ------------------------------------------------------------------------


def gated(install, answer, limit=1.0):
    install("test-gated", {"hooks:gated": "test_gated"}, HEAD + GATE.format(answer=answer, limit=limit))


def names_of(assembly):
    return [each.name for each in assembly.engine.chain.places]


@pytest.mark.parametrize(("kind", "order"), [("After", ["calm", "guard"]), ("Before", ["guard", "calm"])])
def test_nexus_gates(install, home, chosen, kind, order):
    gated(install, f"[('guard', {kind}())]")
    work = play(home, chosen())
    places = [each for each in names_of(work.assembly) if each in ("calm", "guard")]
    assert places == order
    named = runs.manifest(work.folder)["gates"]
    with Journal(work.folder) as journal:
        decisions, verdicts, _ = next(journal.traces())
        traced = [named[each][0] for each in verdicts["gate"][: decisions["verdicts"][0]]]
    assert set(traced) <= {"guard", "calm", "duplicate", "position-size", "min-size"}
    last = int(decisions["verdicts"].sum())
    assert "guard" in {named[each][0] for each in verdicts["gate"][:last]}


def test_a_gate_that_was_inserted_refuses_and_is_on_the_trace(install, home, chosen, capsys):
    free = play(home, chosen())
    gated(install, "[('guard', After())]", limit=0.5)
    work = play(home, chosen())
    assert int(free.engine.ledger.account["fills"][0]) > 0
    assert int(work.engine.ledger.account["fills"][0]) == 0
    number = names_of(work.assembly).index("guard")
    assert work.reasons[number] > 0
    with Journal(work.folder) as journal:
        decisions = np.concatenate([each[0] for each in journal.traces()])
    one = decisions[decisions["reason"] == number][0]
    id = f"{'ABC'[one['symbol']]}-USD@{iso(int(one['ts']))}"
    found = json.loads(command(capsys, "explain", id, "--run", work.folder.name, "--out", home, "--json"))
    assert found["ended_by"] == "guard"
    assert [each["gate"] for each in found["verdicts"]][-2:] == ["calm", "guard"]
    assert (found["verdicts"][-1]["value"], found["verdicts"][-1]["limit"]) == (1.0, 0.5)


def test_a_run_with_an_inserted_gate_goes_on_with_it_and_not_without(install, path, home, chosen):
    gated(install, "[('guard', After())]")
    whole = play(home, chosen())

    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    folders = [play(home, chosen(), at(4, stop)).folder for _ in range(2)]
    again = recovery.resume(folders[0], 16, quiet)
    again.play(quiet)
    again.close()
    assert hash_of(again) == hash_of(whole)
    (path / "test_gated-1.0.dist-info" / "entry_points.txt").write_text("")
    install("test-other", {"hooks:other": "test_other"}, HEAD)
    with pytest.raises(JournalError):
        recovery.resume(folders[1], 16, quiet)


@pytest.mark.parametrize(
    "answer",
    ["3", "After()", "[After()]", "['guard', After()]", "[('guard', After)]", "[(3, After())]", "'ab'",
     "{'guard': After()}", "(1 / 0 for _ in 'a')", "['ab']"],
)  # fmt: skip
def test_a_wrong_answer_to_nexus_gates_is_one_clear_error(install, chosen, answer):
    gated(install, answer)
    with pytest.raises(PluginError, match=r"^hooks:gated: nexus_gates was .*, must be pairs of a name and"):
        assemble(chosen())


def test_a_setting_that_a_listener_with_gates_refuses_is_the_runs_own_error(install, chosen, said):
    gated(install, "[('guard', After(limit=20))]")
    with pytest.raises(ConfigError, match=r"^After: parameter limit was 20, must be in \[-10\.0, 10\.0\]"):
        assemble(chosen())
    assert said == []


@pytest.mark.parametrize("answer", ["[('calm', After())]", "[('guard', After()), ('guard', Before())]"])
def test_a_second_gate_of_the_same_name_is_one_clear_error(install, chosen, answer):
    gated(install, answer)
    with pytest.raises(PluginError, match=r"^gate (calm|guard) stands in the chain twice\. Block the list"):
        assemble(chosen())


def test_a_gate_beside_an_unknown_one_is_placed_by_its_layer_with_a_warning(install, chosen, said):
    gated(install, "[('guard', Lost())]")
    assert "guard" in names_of(assemble(chosen()))
    assert said == ["gate guard: stands beside clam, which is not in this chain: its layer alone places it."]


@pytest.mark.parametrize("answer", ["None", "()", "[]"])
def test_no_gate_is_an_answer_too(install, chosen, said, answer):
    gated(install, answer)
    assert "guard" not in names_of(assemble(chosen()))
    assert said == []


def test_a_blocked_listener_inserts_nothing(install, chosen):
    gated(install, "[('guard', After())]")
    for name in ("gated", "hooks:gated", "test-gated"):
        assert "guard" not in names_of(assemble(chosen(run__blocked=name)))
    assert "guard" in names_of(assemble(chosen()))


# -- listeners that fail --------------------------------------------------------------------------------


def test_one_that_raises_is_named_once_dropped_after_three_and_changes_nothing(
    install, ear, home, chosen, said
):
    free = play(home, chosen(run__blocked="hooks:ear"))
    install("test-sore", {"hooks:sore": "test_sore"}, raising("nexus_fill"))
    install("test-zeal", {"hooks:zeal": "test_zeal"}, listening("nexus_fill"))
    work = play(home, chosen())
    assert hash_of(work) == hash_of(free)
    assert said == [
        "hooks:sore: raised in nexus_fill: ValueError: no ear for it.",
        "hooks:sore: raised 3 times and is heard no more in this run.",
    ]
    assert len(sys.modules["test_sore"].told) == 3
    fills = int(work.engine.ledger.account["fills"][0])
    assert len(ear("nexus_fill")) == len(sys.modules["test_zeal"].told) == fills
    assert list(work.assembly.listeners.broken) == ["hooks:sore"]


def test_faults_are_counted_over_all_hooks_and_two_are_borne(install, home, chosen, said):
    install("test-sore", {"hooks:sore": "test_sore"}, raising("nexus_fill", times=2))
    work = play(home, chosen())
    assert said == ["hooks:sore: raised in nexus_fill: ValueError: no ear for it."]
    assert len(sys.modules["test_sore"].told) == int(work.engine.ledger.account["fills"][0])
    assert work.assembly.listeners.broken == {}


@pytest.mark.parametrize("word", ["sys.exit(3)", "raise SystemExit('enough')"])
def test_one_that_would_end_the_process_ends_nothing(install, home, chosen, said, word):
    text = f"import sys\n{HEAD}\n@hookimpl\ndef nexus_commit():\n    {word}\n"
    install("test-ends", {"hooks:ends": "test_ends"}, text)
    assert play(home, chosen()).finished
    assert said[-1] == "hooks:ends: raised 3 times and is heard no more in this run."


UNFIT = {
    "asks": ("@hookimpl\ndef nexus_fill(run, fill, price):\n    pass\n", "cannot listen: .*'?price'?.*"),
    "asks-late": (
        "@hookimpl\ndef nexus_commit(run):\n    pass\n@hookimpl\ndef nexus_fill(filling):\n    pass\n",
        "cannot listen: .*filling.*",
    ),
    "misspells": (
        "@hookimpl\ndef nexus_trade_close(trade):\n    pass\n",
        r"listens to nexus_trade_close, which is no hook\. Did you mean nexus_trade_closed\?",
    ),
    "foreign": ("@hookimpl\ndef on_fill(fill):\n    pass\n", r"listens to on_fill, which is no hook\..*"),
    "wraps": (
        "@hookimpl(hookwrapper=True)\ndef nexus_fill(fill):\n    yield\n",
        r"wraps nexus_fill\. A listener answers by itself: drop the wrapping\.",
    ),
    "wraps-newly": (
        "@hookimpl(wrapper=True)\ndef nexus_fill(fill):\n    return (yield)\n",
        r"wraps nexus_fill\. A listener answers by itself: drop the wrapping\.",
    ),
    "imports": ("import nowhere_at_all\n", r"of test-imports 1\.0 cannot be imported: ModuleNotFoundError.*"),
    "exits": ("raise SystemExit(2)\n", r"of test-exits 1\.0 cannot be imported: SystemExit: 2\..*"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_one_that_is_unfit_has_one_line_and_the_run_goes_on(install, home, chosen, said, capsys, what):
    text, words = UNFIT[what]
    install(f"test-{what}", {f"hooks:{what}": f"test_{what.replace('-', '_')}"}, HEAD + text)
    free = play(home, chosen(run__blocked=what))
    assert said == []
    work = play(home, chosen())
    assert hash_of(work) == hash_of(free)
    (line,) = said
    import re

    assert re.fullmatch(f"hooks:{what} {words}", line), line
    assert work.assembly.listeners.broken == {f"hooks:{what}": line}
    assert len(work.assembly.listeners) == 0
    for load_too in ([], ["--load"]):
        if not load_too:
            from nexus_core.cli.run import _remember

            _remember(work)
        listed = json.loads(command(capsys, "plugins", "list", "--kind", "hooks", "--json", *load_too))
        states = {each["name"]: (each["state"], each["reason"]) for each in listed}
        assert states[what] == ("broken", line), load_too


def test_two_that_clash_are_both_named_once_and_neither_is_heard(install, home, chosen, said):
    install("test-twin-a", {"hooks:twin": "test_twin_a"}, listening("nexus_commit"))
    install("test-twin-b", {"hooks:twin": "test_twin_b"}, listening("nexus_commit"), version="2.0")
    work = play(home, chosen())
    assert said == [
        "hooks:twin is offered by test-twin-a 1.0 and by test-twin-b 2.0. Remove one of them, or block one: "
        "--set run.blocked=test-twin-b"
    ]
    assert len(work.assembly.listeners) == 0
    work = play(home, chosen(run__blocked="test-twin-b"))
    assert len(said) == 1
    assert len(sys.modules["test_twin_a"].told) > 5
    assert "test_twin_b" not in sys.modules


def test_one_module_under_two_names_is_heard_once(install, home, chosen, said):
    install("test-one", {"hooks:one": "test_one", "hooks:two": "test_one"}, listening("nexus_start"))
    work = play(home, chosen())
    assert len(sys.modules["test_one"].told) == 1
    assert len(said) == 1
    assert said[0].startswith("hooks:two cannot listen: ")
    assert list(work.assembly.listeners.broken) == ["hooks:two"]


def test_a_trace_names_who_answered_what(install, home, chosen, said, monkeypatch):
    import re

    monkeypatch.setenv("NEXUS_TRACE", "1")
    install("test-one", {"hooks:one": "test_one"}, listening("nexus_start", "nexus_commit"))
    play(home, chosen(run__bars=40))
    begun = [line for line in said if "nexus_start" in line]
    assert len(begun) == 1
    assert re.fullmatch(r"trace: nexus_start by hooks:one: None \(\d+\.\d\d ms\)", begun[0])
    assert "trace: nexus_stop: nobody answered" in said
    assert sum("nexus_commit by hooks:one" in line for line in said) == 3
    said.clear()
    monkeypatch.setenv("NEXUS_TRACE", "0")
    play(home, chosen(run__bars=40))
    assert said == []


def test_the_trace_of_a_run_is_on_standard_error(install, sets, home, capsys, monkeypatch):
    monkeypatch.setenv("NEXUS_TRACE", "1")
    install("test-one", {"hooks:one": "test_one"}, listening("nexus_start"))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["run", *[part for each in sets(40) for part in ("--set", each)], "--out", str(home)])
    assert "nexus: trace: nexus_start by hooks:one: None (" in capsys.readouterr().err


# -- calls ----------------------------------------------------------------------------------------------


class Answers:
    def __init__(self, answer):
        self.answer = answer

    @hookspecs.hookimpl
    def nexus_gates(self, settings):
        return self.answer


class First(Answers):
    @hookspecs.hookimpl(tryfirst=True)
    def nexus_gates(self, settings):
        return self.answer


def test_answers_come_with_their_names_the_earliest_called_first():
    heard = Listeners()
    heard.add("hooks:a", First(1))
    heard.add("hooks:b", Answers(2))
    heard.add("hooks:c", Answers(None))
    assert heard.call("nexus_gates", settings=None) == [("hooks:a", 1), ("hooks:c", None), ("hooks:b", 2)]
    assert len(heard) == 3
    assert heard.heard("nexus_gates")
    assert not heard.heard("nexus_fill")


def test_a_name_given_twice_keeps_the_first():
    heard, first = Listeners(), Answers(1)
    heard.add("hooks:a", first)
    with pytest.raises(PluginError, match=r"^hooks:a cannot listen: "):
        heard.add("hooks:a", Answers(2))
    with pytest.raises(PluginError, match=r"^hooks:b cannot listen: "):
        heard.add("hooks:b", first)
    assert heard.call("nexus_gates", settings=None) == [("hooks:a", 1)]


def test_what_nothing_blocks_is_installed(install, monkeypatch):
    install("test-one", {"hooks:one": "test_one"}, listening("nexus_start"))
    install("test-two", {"hooks:two": "test_two"}, listening("nexus_stop"))
    assert len(installed(EXAMPLES)) == 2
    assert len(installed((*EXAMPLES, "test-one"))) == 1
    monkeypatch.setenv("NEXUS_PLUGINS", "")
    assert len(installed()) == 0
    assert listeners.PATIENCE == 3
