"""The engine decides the same whatever the size of its blocks, and says what it cannot feed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nexus_core import engine as engines
from nexus_core.compile import JIT
from nexus_core.engine import DAY, Engine, assemble
from nexus_core.errors import ConfigError, DataError, NotFoundError, PluginError
from nexus_core.feed import ALL
from nexus_core.market.blocks import Chunk
from nexus_core.records import EVENT, LATE, empty
from nexus_core.upkeep.sources import load

BARS = 700 if JIT else 150
EVERY_KIND = "duplicate,calm,position-size,daily-loss,drawdown,margin,stop-loss,min-size"


@pytest.fixture
def built(sets):
    return lambda **changes: assemble(load(None, sets=sets(BARS, **changes)).settings)


def played(assembly, size, trace=True):
    """Play all rows; return the run hash and what was written, as bytes."""
    engine, kept, cuts = assembly.engine, [b"", b"", b"", b""], []
    for chunk in assembly.feed.chunks(assembly.market, 0):
        for block in engine.blocks(chunk, size):
            cuts.append(int(block.times[-1]))
            for written in engine.advance(block, empty(EVENT, 0)):
                parts = (written.events, written.decisions, written.verdicts, written.opinions)
                kept = [whole + part.tobytes() for whole, part in zip(kept, parts, strict=True)]
    return engine.ledger.run_hash, kept, cuts


@pytest.mark.parametrize("also", [{}, {"risk__gates": EVERY_KIND}, {"run__strategies": "swing,wild"}])
def test_blocks_of_any_size_decide_the_same(built, also):
    runs = {size: played(built(**also), size) for size in (1, 7, 64, 10_000)}
    assert len({run[0] for run in runs.values()}) == 1
    first = runs[1][1]
    assert len(first[0]) > 40 * EVENT.itemsize
    for _, kept, cuts in runs.values():
        assert kept == first
        # a tick on the edge between two epochs is a block's last
        assert 1_772_496_000_000_000_000 in cuts


def test_the_market_of_this_test_has_gaps_and_late_rows(built):
    assembly = built()
    rows = np.concatenate([chunk.rows for chunk in assembly.feed.chunks(assembly.market, 0)])
    assert 0 < (rows["flags"] & LATE).astype(bool).sum() < len(rows) < 3 * BARS


@pytest.mark.parametrize("gates", ["min-size", "composite,regime,min-size"])
def test_the_strict_preset_fits_the_gates_it_speaks_of(built, caplog, gates):
    with caplog.at_level("WARNING", logger="nexus"):
        assembly = built(chain__preset="strict", chain__layers="quality", risk__gates=gates)
    assert [said for said in caplog.messages if "uses no plugin" in said] == []
    limits = {"composite": {"limit": 0.5}, "regime": {"limit": 1}}
    assert {name: assembly.settings.plugins.get(name) for name in limits} == (
        limits if "regime" in gates else dict.fromkeys(limits)
    )


@pytest.mark.parametrize("symbols", ["A-USD", "A-USD,B-USD,C-USD,D-USD,E-USD,F-USD,G-USD"])
def test_one_symbol_or_many(built, symbols):
    assert played(built(run__symbols=symbols), 1)[:2] == played(built(run__symbols=symbols), 97)[:2]


def test_a_run_can_be_taken_up_at_any_tick(built):
    whole = played(built(), 64)[0]
    assembly = built()
    engine = assembly.engine
    while engine.tick < BARS:  # the feed is asked anew for every block
        chunk = next(iter(assembly.feed.chunks(assembly.market, engine.tick)))
        block = next(engine.blocks(chunk, 13))
        for _ in engine.advance(block, empty(EVENT, 0)):
            pass
    assert engine.ledger.run_hash == whole


def test_a_gate_that_looks_at_the_block_is_what_parity_is_for(built):
    looks = {"risk__gates": "crowd,duplicate", "plugins__crowd__limit": 20.0}
    assert played(built(**looks), 1)[0] != played(built(**looks), 64)[0]


def test_a_block_out_of_turn_is_refused(built):
    assembly = built()
    chunk = next(iter(assembly.feed.chunks(assembly.market, 0)))
    _, second, *_ = assembly.engine.blocks(chunk, 16)
    with pytest.raises(ConfigError, match=r"^engine: block of tick 16 was given, tick 0 is next\.$"):
        list(assembly.engine.advance(second, empty(EVENT, 0)))


@pytest.mark.parametrize(
    ("interval", "grid"), [(60, DAY), (86_399, DAY), (86_400, 21 * DAY), (7 * 86_400, 147 * DAY)]
)
def test_an_epoch_is_a_day_or_21_bars_of_a_day_and_more(built, interval, grid):
    engine: Engine = built(run__interval=interval).engine
    assert engine.grid == grid
    assert engine.edge(0) == 0
    assert engine.edge(1) == engine.edge(grid) == grid
    assert engine.edge(grid + 1) == 2 * grid
    assert engine.edge(-1) == 0


def test_bars_of_a_day_decide_the_same_in_any_block(built):
    one, other = (played(built(run__interval=86_400), size) for size in (1, 1000))
    assert one[:2] == other[:2]
    assert max(np.diff(other[2])) <= 21 * DAY


def test_a_strategy_that_cannot_be_fed_is_inactive_with_the_reason(built):
    engine = built(run__strategies="bookish,swing").engine
    assert [(each.name, each.reason) for each in engine.inactive] == [("bookish", "needs book, trade")]
    assert [loop.name for loop in engine.loops] == ["swing"]


@pytest.mark.parametrize("clock", ["every", "event"])
def test_a_clock_that_the_feed_has_no_rows_for_is_refused(built, clock):
    said = f"has no rows for run.clock = {clock}. Set it to bar."
    with pytest.raises(ConfigError, match=re.escape(said)):
        built(run__clock=clock)


def test_without_a_number_an_endless_feed_gives_ten_thousand_bars_and_another_all(built):
    assert built(run__bars=0, run__feed="synthetic").engine.market.ticks == 10_000
    assert built(run__bars=0).engine.market.ticks == ALL


def test_a_run_that_can_feed_no_strategy_is_refused(built):
    with pytest.raises(ConfigError) as caught:
        built(run__strategies="bookish")
    assert str(caught.value) == (
        "walk feeds no strategy of this run: bookish needs book, trade. Choose others."
    )


def test_a_strategy_that_answers_outside_the_contract_is_silenced_at_its_third_fault(built):
    assembly = built(run__strategies="swing,wild")
    played(assembly, 64)
    assert assembly.engine.loops[1].faults() == 3
    assert assembly.engine.loops[0].faults() == 0
    assert list(assembly.engine.ward.silent()) == ["wild"]


def test_a_gate_that_is_missing_refuses_every_entry_and_is_told(built, capsys):
    from nexus_core import log

    log.setup()
    assembly = built(risk__gates="duplicate,positionsize")
    assert capsys.readouterr().err.startswith(
        "nexus: gates:positionsize is not installed. Did you mean position-size? Installed gates: "
    )
    played(assembly, 64)
    account = assembly.engine.ledger.account
    assert account["approved"][0] == 0
    assert account["rejected"][0] > 0


def test_a_missing_strategy_feed_or_broker_ends_it(built):
    for key in ("strategies", "feed", "broker"):
        with pytest.raises(NotFoundError, match=r"nobody is not installed\..* Installed "):
            built(**{f"run__{key}": "nobody"})


def test_a_parameter_goes_to_its_plugin_and_a_wrong_one_is_refused_in_its_name(built):
    assert built(plugins__swing__span=40).engine.loops[0].strategy.params.span == 40
    with pytest.raises(ConfigError, match=r"^swing: unknown parameter spam\. Did you mean span\?$"):
        built(plugins__swing__spam=1)


def test_the_limit_of_a_gate_follows_its_setting_unless_it_is_given(built):
    limits = [
        built(risk__gates="position-size", **also).engine.chain.ledger_gates[0].params["limit"][0]
        for also in ({}, {"risk__max_position_size": 0.2}, {"plugins__position-size__limit": 0.3})
    ]
    assert limits == [0.1, 0.2, 0.3]


def test_states_have_names_and_hashes_of_code(built):
    one, other = built(), built(plugins__swing__span=40)
    states = one.engine.states()
    told = {f"outcomes:swing:{part}" for part in ("counts", "sides", "prices", "middles", "trades")}
    alone = {"account", "positions", "orders", "strategy:swing", "gate:calm", "quarantine", "standings"}
    assert states.keys() == alone | told
    assert {name for name, (_, code) in states.items() if code} == {"strategy:swing", "gate:calm"}
    changed = {name for name in one.code if one.code[name] != other.code[name]}
    assert changed == {"strategy:swing"}  # with a parameter, its state means something else
    assert one.code == built().code


@pytest.mark.jit
def test_what_has_to_be_compiled_is_told_and_only_then(built, tmp_path, monkeypatch):
    from nexus_core import compile

    monkeypatch.setattr(compile, "_root", [tmp_path])
    monkeypatch.setattr(compile, "_entries", {})
    for each in (engines.cutting._merge, engines.cutting._reach):
        each.cache_clear()
    told = []
    built().warm(told.append)
    assert told == [f"compiling {each}" for each in ("swing", "the outcomes", "the chain", "the ledger")]
    told.clear()
    built().warm(told.append)
    assert told == []


def test_a_class_of_another_kind_is_refused(built, shelf, monkeypatch):
    monkeypatch.setattr(shelf, "Swing", 5)
    with pytest.raises(PluginError, match=r"strategies:swing of nexus-test-shelf was 5, must be a class\."):
        built()


def test_chunks_that_do_not_follow_each_other_are_refused(built):
    assembly = built()
    chunks = list(assembly.feed.chunks(assembly.market, 0))
    for block in assembly.engine.blocks(chunks[0], 1000):
        for _ in assembly.engine.advance(block, empty(EVENT, 0)):
            pass
    with pytest.raises(DataError, match="Chunks follow each other in time"):
        assembly.engine.blocks(chunks[0], 1000)
    assert list(assembly.engine.blocks(chunks[1], 1000))


def test_a_gate_that_follows_an_unknown_setting_is_named(built, shelf, monkeypatch):
    monkeypatch.setattr(shelf.Calm, "setting", "max_postion")
    with pytest.raises(
        PluginError, match=r"^gates:calm: follows the setting risk\.max_postion, which does not exist\.$"
    ):
        built()


def test_parameters_of_a_plugin_that_the_run_does_not_use_are_told_of(built, caplog):
    with caplog.at_level("WARNING", logger="nexus"):
        built(plugins__swin__span=9)
    (said,) = [each for each in caplog.messages if each.startswith("plugins.")]
    assert said == "plugins.swin: this run uses no plugin of that name. Did you mean swing?"


@pytest.mark.jit
def test_a_step_that_cannot_be_compiled_is_named_in_one_line(built, shelf, monkeypatch):
    def misspelt(row, state, params):
        return 1, row.clse

    monkeypatch.setattr(shelf.Swing, "step", staticmethod(misspelt))
    with pytest.raises(PluginError) as error:
        built().warm(lambda _: None)
    text = str(error.value)
    assert text.startswith("swing: its step cannot be compiled: ")
    assert "clse" in text
    assert "\n" not in text


def taken(assembly, late, size):
    """Play the feed's chunks, with some rows of symbol 0 held back and told before the second chunk."""
    engine, decided = assembly.engine, []
    first, second, *_ = assembly.feed.chunks(assembly.market, 0)
    second = Chunk(second.rows, second.starts, late=late)
    for chunk in (first, second):
        for block in engine.blocks(chunk, size):
            for written in engine.advance(block, empty(EVENT, 0)):
                decided += written.decisions[["ts", "symbol"]].tolist()
    return engine, decided


def test_rows_that_came_late_change_states_and_decide_nothing(built):
    first, second, *_ = built().feed.chunks(built().market, 0)
    late = first.rows[:3].copy()
    late["ts"], late["flags"] = second.times[0] - np.array([3, 2, 1]), LATE
    engine, decided = taken(built(), late, 64)
    plain, _ = taken(built(), late[:0], 64)
    assert decided
    assert not set(late["ts"].tolist()) & {ts for ts, _ in decided}
    assert engine.loops[0].states["rows"][0] == plain.loops[0].states["rows"][0] + 3
    for size in (1, 10_000):
        other, same = taken(built(), late, size)
        assert same == decided
        assert other.ledger.run_hash == engine.ledger.run_hash
        assert other.loops[0].states.tobytes() == engine.loops[0].states.tobytes()


def test_a_strategy_that_hears_events_is_inactive_where_there_are_none(built, shelf, monkeypatch):
    monkeypatch.setattr(shelf.Swing, "on_event", staticmethod(lambda event, book, state, params: None))
    engine = built(run__strategies="swing,wild").engine
    assert [(each.name, each.reason) for each in engine.inactive] == [("swing", "needs market events")]


def test_a_strategy_that_can_do_without_events_is_at_work_where_there_are_none(built, shelf, monkeypatch):
    monkeypatch.setattr(shelf.Swing, "on_event", staticmethod(lambda event, book, state, params: None))
    monkeypatch.setattr(shelf.Swing, "hears", "optional")
    engine = built(run__strategies="swing,wild").engine
    assert not engine.inactive
