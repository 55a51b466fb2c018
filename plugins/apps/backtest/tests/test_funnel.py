"""`nexus funnel`: what it counts, what refused trades would have made, and what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from nexus_app_backtest import picture

from nexus_core import engine, plugins, runs
from nexus_core.errors import Exit
from nexus_core.ledger.judge import KERNEL_GATES
from nexus_core.testing import rows
from nexus_core.upkeep import homes

BASIS = 1e-4
FACTS = {"run", "symbols", "strategies", "decisions", "trace", "in_trace", "gates", "approved", "exits"}
FACTS |= {"binds", "rules", "warnings", "notes"}
GATE = {"gate", "layer", "kernel", "guard", "reached", "refused", "share", "with_signal", "inferred"}
GATE |= {"would_have"}
RULES = {"horizon", "stop_loss", "take_profit", "broker", "cost_bps", "quantity", "money"}
WORTH = {"trades", "independent", "mean_bps", "low_bps", "high_bps"}


def market(said, **fields):
    """Return bars of 100, 101, 102 ...; `said` holds signal and score of both strategies, row by row."""
    said = np.array(said, float)
    made = rows(100.0 + np.arange(len(said)), buy_volume=0, sell_volume=0, minute_of_session=0)
    made["trades"], made["bid_size"], made["minutes_to_close"], made["ask_size"] = said.T
    for name, values in fields.items():
        for row, value in values.items():
            made[name][row] = value
    return made


NONE = (0, 0, 0, 0)
SAID = [
    NONE,
    (1, 0.9, 0, 0),  # 1: calm refuses a purchase
    (-1, 0.9, -1, 0.9),  # 2: calm refuses a sale
    (1, 0.9, -1, 0.3),  # 3: calm refuses; the sale is too unsure to be kept
    (1, 0.5, 0, 0),  # 4: no signal is sure enough
    (1, 0.9, -1, 0.9),  # 5: no direction
    (2, 0.9, -1, 0.9),  # 6: routed refuses a purchase
    (1, 0.9, 0, 0),  # 7: capped refuses
    (1, 0.9, 0, 0),  # 8: approved
    (1, 0.9, 0, 0),  # 9: duplicate, an entry is at work
    (0, 0.0, -1, 0.9),  # 10: closes the position
    *[NONE] * 4,
]
FIELDS = {"buy_volume": {1: 2, 2: 2, 3: 2}, "sell_volume": {6: 2}, "minute_of_session": {7: 5}}


@pytest.fixture
def worked(by_hand):
    """Trade the hand-worked market without costs."""
    return by_hand(market(SAID, **FIELDS), plugins__paper__fee=0, plugins__paper__half_spread=0)


def gate(facts, name):
    return next(each for each in facts["gates"] if each["gate"] == name)


def counts(facts):
    return {each["gate"]: (each["reached"], each["refused"]) for each in facts["gates"] if each["reached"]}


def gain(first, rows=3):
    """Return the basis points of a purchase decided at a row: it enters at that row's close."""
    return (100 + first + rows) / (100 + first) / BASIS - 1 / BASIS


def refused(answer, code, line):
    assert answer == (code, "", f"nexus: {line}\n")


def manifest(change):
    """Change the manifest of the newest run."""
    path = homes.open_run(None) / runs.MANIFEST
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


# -- what is counted ----------------------------------------------------------------------------------


def test_a_run_worked_by_hand(worked, told):
    assert (worked["decisions"], worked["approved"]) == (15, 2)
    facts = told("funnel")
    assert [each["gate"] for each in facts["gates"]] == [
        *("layer-at-work", "calm", "has-signal", "late", "direction", "routed", "opposite", "duplicate"),
        *("entry-at-work", "safety-mode", "shorting", "amounts", "no-edge", "size", "capped"),
    ]
    assert counts(facts) == {
        "layer-at-work": (15, 0),
        "calm": (15, 3),
        "has-signal": (12, 6),
        "late": (6, 0),
        "direction": (6, 1),
        "routed": (5, 1),
        "opposite": (4, 1),
        "duplicate": (3, 1),
        "entry-at-work": (2, 0),
        **dict.fromkeys(("safety-mode", "shorting", "amounts", "no-edge", "size"), (2, 0)),
        "capped": (2, 1),
    }
    assert (facts["approved"]["entries"], facts["exits"]) == (1, 1)
    assert (facts["decisions"], facts["in_trace"]) == (15, 15)
    assert gate(facts, "has-signal")["with_signal"] == 1
    assert gate(facts, "calm")["share"] == 3 / 15
    assert facts["binds"] == {"gate": "calm", "refused": 3, "share": 3 / 9}


def test_what_refused_trades_would_have_made(worked, told):
    facts = told("funnel", "--horizon", 3)
    made = {each["gate"]: each["would_have"] for each in facts["gates"] if each["would_have"]["trades"]}
    means = {name: each["mean_bps"] for name, each in made.items()}
    sale = -0.02 / BASIS  # prices rise: it meets its stop
    wanted = {
        "calm": (gain(1) + sale + gain(3)) / 3,
        "routed": gain(6),
        "capped": gain(7),
        "duplicate": gain(9),
        "opposite": sale,
    }
    assert means == pytest.approx(wanted, abs=1e-3)
    assert facts["approved"]["would_have"]["mean_bps"] == pytest.approx(gain(8))
    assert made["calm"]["trades"] == 3
    # of few trades there is no interval
    assert all(each["low_bps"] is None for each in made.values())


def test_the_direction_before_layer_4_is_that_of_the_kept_signals(worked, told):
    facts = told("funnel")
    inferred = {each["gate"]: each["inferred"] for each in facts["gates"] if each["inferred"]}
    assert inferred["calm"] == 3
    assert not {"has-signal", "direction", "duplicate", "capped"} & set(inferred)
    for name in ("has-signal", "direction", "late"):
        assert gate(facts, name)["would_have"]["trades"] == 0


@pytest.fixture
def turned(by_hand, monkeypatch):
    """Put a layer into runs that turns directions round."""
    from nexus_test_hand import Turned

    monkeypatch.setattr(engine, "_layers", lambda settings: [("turned", Turned())])


@pytest.mark.usefixtures("turned")
def test_a_direction_that_a_layer_gave_stands_above_the_signals(by_hand, told):
    # what the signals sum up to buys; turned round, routed refuses a sale
    by_hand(market(SAID, **FIELDS), plugins__paper__fee=0)
    facts = told("funnel")
    assert gate(facts, "routed")["inferred"] == 0
    assert gate(facts, "routed")["would_have"]["mean_bps"] < -100
    assert gate(facts, "direction")["would_have"]["trades"] == 0


@pytest.mark.usefixtures("turned")
def test_what_ends_where_a_layer_raises_is_counted_first(by_hand, told):
    by_hand(market(SAID, **FIELDS, volume={6: 0}))
    facts = told("funnel")
    assert (facts["gates"][0]["gate"], facts["gates"][0]["refused"]) == ("layer-at-work", 1)
    assert gate(facts, "routed")["refused"] == 0
    total = sum(each["refused"] for each in facts["gates"]) + facts["approved"]["entries"]
    assert total == facts["decisions"] == 15


def test_a_calibrated_score_is_kept_by_its_rank(worked, told):
    curves = {"scores": [0.0, 1.0], "ranks": [0.0, 0.5], "p": [0.5, 0.5], "low": [0, 0], "high": [1, 1]}
    table = {**curves, "signals": 100, "base": 0.5}
    manifest(lambda facts: facts.update(calibration={"first": table}))
    # 0.9 ranks 0.45 now, below 0.57: what the first says is not kept, the sale of row 2 is the second's
    assert gate(told("funnel"), "calm")["would_have"]["trades"] == 1


def test_costs_are_the_brokers(by_hand, told):
    by_hand(market(SAID, **FIELDS))
    facts = told("funnel")
    made = facts["approved"]["would_have"]["mean_bps"]
    paid, got = 108 * 1.0001, 111 * 0.9999
    assert made == pytest.approx((got - paid - 0.001 * (got + paid)) / paid / BASIS, abs=1e-3)
    assert facts["rules"] == {
        "horizon": 3, "stop_loss": 0.02, "take_profit": 0.04, "broker": "paper",
        "cost_bps": pytest.approx(22, abs=0.5), "quantity": None, "money": 2000.0,
    }  # fmt: skip


def test_the_horizon_is_the_longest_of_the_strategies(worked, told):
    assert told("funnel")["rules"]["horizon"] == 3
    facts = told("funnel", "--horizon", 1)
    assert facts["rules"]["horizon"] == 1
    assert facts["approved"]["would_have"]["mean_bps"] == pytest.approx(gain(8, 1))


@pytest.mark.parametrize("ticks", [1, 4])
def test_the_size_of_chunks_and_blocks_changes_nothing(by_hand, told, ticks):
    answers = []
    for settings in ({}, {"plugins.hand.ticks": ticks, "performance.block": 3}):
        by_hand(market(SAID, **FIELDS), **settings)
        answers.append({**told("funnel"), "run": ""})
    assert answers[0] == answers[1]


def test_several_symbols(by_hand, told):
    made = market(SAID, **FIELDS)
    other = made.copy()
    other["symbol"] = 1
    by_hand(np.concatenate([made, other]), run__symbols="A-USD,B-USD")
    facts = told("funnel")
    assert (facts["decisions"], gate(facts, "calm")["refused"]) == (30, 6)
    assert gate(facts, "calm")["would_have"]["trades"] == 6


def test_a_reversal_refused_is_counted_where_it_ended(by_hand, told):
    fields = {**FIELDS, "minute_of_session": {7: 5, 10: 5}}
    by_hand(market(SAID, **fields), risk__on_opposite="reverse")
    facts = told("funnel")
    assert gate(facts, "opposite")["refused"] == 0
    assert (gate(facts, "capped")["refused"], facts["exits"], facts["approved"]["entries"]) == (2, 1, 1)


# -- what the trace does not keep ---------------------------------------------------------------------


def test_a_trace_of_approved_knows_only_what_the_ledger_asked(by_hand, told, nexus):
    by_hand(market(SAID, **FIELDS), performance__trace="approved")
    facts = told("funnel")
    assert (facts["decisions"], facts["in_trace"]) == (15, 4)
    assert gate(facts, "calm")["reached"] is None
    assert gate(facts, "calm")["would_have"] is None
    assert (gate(facts, "opposite")["reached"], gate(facts, "duplicate")["reached"]) == (4, 3)
    assert facts["notes"][0] == (
        "The trace keeps decisions with a direction after the market's gates: what those refused is not in "
        "it, nor what never had a signal. 11 of 15 decisions are not counted here. See performance.trace."
    )
    code, out, _ = nexus("funnel", "--png", "a.png")
    assert code == Exit.OK
    assert "calm" in out


def test_a_trace_of_orders_knows_only_these(by_hand, told):
    by_hand(market(SAID, **FIELDS), performance__trace="orders")
    facts = told("funnel")
    assert facts["in_trace"] == 2
    assert {each["reached"] for each in facts["gates"]} == {None}
    assert facts["notes"][0].startswith("The trace keeps decisions that led to an order: ")
    assert facts["approved"]["entries"] == 1
    assert facts["warnings"] == []
    told("funnel", "--png", "orders.png")
    assert size(Path("orders.png"))[0] == 1200


# -- what it warns of ---------------------------------------------------------------------------------


def test_gates_that_never_or_always_refuse(by_hand, told):
    by_hand(market(SAID[:4] + [NONE] * 4), risk__gates="calm,routed,capped")
    facts = told("funnel")
    assert facts["warnings"] == [
        "Never refused: calm, routed, capped. Are their limits where you meant them?"
    ]
    manifest(lambda facts: facts.update(guards=["routed"]))
    facts = told("funnel")
    assert gate(facts, "routed")["guard"]
    assert facts["warnings"][0].startswith("Never refused: calm, capped. ")
    by_hand(market(SAID[:4] + [NONE] * 4, minute_of_session=dict.fromkeys(range(8), 9)))
    assert "capped refused all 3 that reached it: nothing trades behind it." in told("funnel")["warnings"]


def test_a_gate_that_refuses_gains(by_hand, told):
    said = [(1, 0.9, 0, 0) if n % 5 == 0 else NONE for n in range(60)]
    by_hand(market(said, buy_volume=dict.fromkeys(range(60), 2)))
    facts = told("funnel")
    calm = gate(facts, "calm")["would_have"]
    assert (calm["trades"], calm["independent"]) == (12, 12.0)
    assert 0 < calm["low_bps"] < calm["mean_bps"] < calm["high_bps"]
    mean = calm["mean_bps"]
    assert (
        f"calm refused trades that would have gained {mean:+.1f} bp each, after costs." in facts["warnings"]
    )


def test_costs_that_changed_since(worked, told):
    manifest(lambda facts: facts["code"].update(fee="another"))
    assert told("funnel")["warnings"][0] == "The broker's costs are not those of the run: its plugin changed."


# -- a run of an installed strategy -------------------------------------------------------------------


def test_a_real_run_adds_up(told):
    chosen = ("--symbols", "BTC-USD,ETH-USD", "--bars", 3000, "--set", "risk.min_confidence=0.2")
    done = told("run", "--plugins", "vwap", "--set", "risk.gates=duplicate,position-size", *chosen)
    facts = told("funnel", done["run"])
    total = sum(each["refused"] for each in facts["gates"])
    assert facts["approved"]["entries"] + facts["exits"] == done["approved"]
    assert total + facts["approved"]["entries"] == facts["decisions"] == done["decisions"] == 6000
    named = {f"{each['gate']} (layer {each['layer']})": each["refused"] for each in facts["gates"]}
    for name, count in done["refused_by"].items():
        assert count <= named[name]
    assert facts["rules"]["horizon"] == 60
    reached = [each["reached"] for each in facts["gates"]]
    assert reached == sorted(reached, reverse=True)


# -- how it is said -----------------------------------------------------------------------------------


def test_the_json_keeps_its_shape(worked, told):
    facts = told("funnel")
    assert set(facts) == FACTS
    assert set(facts["rules"]) == RULES
    assert all(set(each) == GATE and set(each["would_have"]) == WORTH for each in facts["gates"])
    assert set(facts["approved"]) == {"entries", "would_have"}
    assert set(facts["approved"]["would_have"]) == WORTH
    kernels = {each["gate"] for each in facts["gates"] if each["kernel"]}
    assert kernels == {name for name, _ in KERNEL_GATES}


def test_the_text(worked, nexus):
    code, out, err = nexus("funnel")
    assert (code, err) == (Exit.OK, "")
    lines = out.splitlines()
    assert lines[0] == f"run        {worked['run']}"
    assert lines[1:4] == [
        "decisions  15, of them 15 in the trace",
        "approved   1 to enter; 1 closed a position",
        "binds      calm: 3, 33.3% of what was refused with a signal",
    ]
    assert lines[5].split() == ["layer", "gate", "reached", "refused", "share", "had", "signal", "trades",
                                "mean", "bp", "95", "%"]  # fmt: skip
    assert lines[6].split()[:6] == ["1", "calm", "15", "3", "20.0%", "3"]
    assert "after the fact" in out
    assert max(map(len, lines)) <= 110


def size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def test_the_picture(worked, told, tmp_path):
    path = tmp_path / "funnel.PNG"
    assert told("funnel", "--png", path)["picture"] == str(path)
    width, height = size(path)
    assert width == 1200
    assert 300 < height < 800
    assert path.stat().st_size > 10_000


def test_a_picture_without_trades(by_hand, told, tmp_path):
    by_hand(market([NONE] * 5))
    told("funnel", "--png", tmp_path / "none.png")
    assert size(tmp_path / "none.png")[0] == 1200


def test_wide_intervals_are_cut():
    sure = {"mean_bps": 10.0, "low_bps": 5.0, "high_bps": 15.0}
    wide = {"mean_bps": -10.0, "low_bps": -900.0, "high_bps": 900.0}
    unsure = {"mean_bps": 0.0, "low_bps": None, "high_bps": None}
    assert picture._span([sure, wide, unsure]) == pytest.approx((-70 - 8.4, 70 + 8.4))
    assert picture._span([sure]) == pytest.approx((-0.9, 15.9))


# -- what goes wrong ----------------------------------------------------------------------------------


def test_no_such_run(worked, nexus):
    name = worked["run"]
    code, out, err = nexus("funnel", name[:-1] + ("0" if name[-1] != "0" else "1"))
    assert (code, out) == (Exit.NOT_FOUND, "")
    assert f"Did you mean {name}?" in err
    assert err.count("\n") == 1


def test_no_run_at_all(nexus, tmp_path):
    code, _, err = nexus("funnel", "--out", tmp_path)
    assert (code, err.count("\n")) == (Exit.NOT_FOUND, 1)


def test_a_picture_must_be_a_png(worked, nexus, tmp_path):
    refused(nexus("funnel", "--png", "a.svg"), Exit.USAGE, "funnel: --png was a.svg, must end in .png.")
    there = tmp_path / "no" / "a.png"
    what = f"funnel: {there} cannot be written (No such file or directory). Choose another place with --png."
    refused(nexus("funnel", "--png", there), Exit.USAGE, what)


def test_the_horizon_has_bounds(worked, nexus):
    assert nexus("funnel", "--horizon", 0)[0] == Exit.USAGE
    assert nexus("funnel", "--horizon", 100_001)[0] == Exit.USAGE


def test_a_trace_that_is_empty(by_hand, nexus):
    run = by_hand(market([NONE] * 5), performance__trace="approved")["run"]
    what = f"{run}: no decision in the trace, which keeps approved. See performance.trace."
    refused(nexus("funnel"), Exit.NOT_FOUND, what)


def test_a_feed_that_is_not_installed(worked, nexus):
    manifest(lambda facts: facts["settings"]["run"].update(feed="gone"))
    code, out, err = nexus("funnel")
    assert (code, out) == (Exit.NOT_FOUND, "")
    assert "gone" in err
    assert err.count("\n") == 1


def test_rows_that_changed(worked, nexus, tmp_path):
    (tmp_path / "rows").write_bytes(market(SAID).tobytes())
    advice = "What it refused can only be judged on the rows that it saw: put them back."
    what = f"{worked['run']}: the feed's rows changed since the run began. {advice}"
    refused(nexus("funnel"), Exit.ERROR, what)


def test_rows_that_are_not_those_decided(worked, nexus, tmp_path, monkeypatch):
    from nexus_test_hand import Hand

    recorded = json.loads((homes.open_run(None) / runs.MANIFEST).read_text())["recording"]
    monkeypatch.setattr(Hand, "recording", lambda self, market: recorded)
    shifted = market(SAID)
    shifted["ts"] += 1
    (tmp_path / "rows").write_bytes(shifted.tobytes())
    code, out, err = nexus("funnel")
    assert (code, out, err.count("\n")) == (Exit.ERROR, "", 1)
    (tmp_path / "rows").write_bytes(market(SAID)[:6].tobytes())
    what = f"{worked['run']}: the feed ends before the run did. Put back the rows that it saw."
    refused(nexus("funnel"), Exit.ERROR, what)


def test_a_live_feed_is_counted_and_not_played_again(worked, told, nexus, tmp_path):
    manifest(lambda facts: facts["settings"]["run"].update(feed="heard"))
    facts = told("funnel", "--png", tmp_path / "live.png")
    assert gate(facts, "calm")["refused"] == 3
    assert gate(facts, "calm")["would_have"] is None
    assert facts["notes"] == [
        "The feed is live and cannot be played again: what trades would have made is not known."
    ]
    assert nexus("funnel")[0] == Exit.OK


def test_it_is_a_command_of_nexus():
    (offer,) = [each for each in plugins.offers() if each.key == "commands:funnel"]
    assert offer.distribution == "nexus-app-backtest"
