"""Gates, feeds, brokers, commands and listeners that break one promise, and good ones that break none."""

import itertools
import math
import os
import re
import sys
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import Annotated

import nexus_broker_paper
import nexus_feed_synthetic
import nexus_gate_risk
import numpy as np
import pytest
import typer

import nexus_core.testing.others  # noqa: F401  (lays the checks down)
from nexus_core import Broker, FeatureSet, Feed, Gate, Market, Param, Text, compile, plugins, steps
from nexus_core.broker import FeeModel, FixedFee, SlippageModel
from nexus_core.errors import DataError, UsageError
from nexus_core.hookspecs import hookimpl
from nexus_core.listeners import HOOKS, Listeners
from nexus_core.market.blocks import Chunk
from nexus_core.market.events import BUY, CLEAR, EVENT, LAST, LEVEL, QUOTE, SELL, SNAPSHOT, TRADE
from nexus_core.market.features import FeatureLoop
from nexus_core.records import ROW, empty
from nexus_core.testing import MINUTE, START, Trial, rows
from nexus_core.testing.contract import CONTRACTS, Subject, examine, subject
from nexus_core.testing.fakes import Clock, Costless, Given, Heard, chunked, facts, walk
from nexus_core.types import Instrument

LETTERS = {"gates": "G", "feeds": "F", "brokers": "B", "features": "T", "commands": "C", "hooks": "H"}


@pytest.fixture(autouse=True)
def own_checks(monkeypatch):
    """Leave out the checks that any plugin is put to."""
    for kind, letter in LETTERS.items():
        own = [each for each in CONTRACTS[kind] if each.number.startswith(f"NX-{letter}")]
        monkeypatch.setitem(CONTRACTS, kind, own)


def failures(of):
    """Return why each check failed, by its number without NX-."""
    findings = examine(of).findings
    return {each.number[3:]: each.text for each in findings if each.outcome == "failed"}


def needless(of):
    return {each.number[3:] for each in examine(of).findings if each.outcome == "not applicable"}


# -- gates --------------------------------------------------------------------------------------------


class Price(Gate):
    """A market gate that refuses high prices."""

    nexus_api = 1
    layer, passes = 1, "market"
    limit = Param(500.0, low=0.0, high=1e9, help="price")

    @staticmethod
    def values(columns, state, params):
        return columns.close


class Volume(Gate):
    """A ledger gate that refuses much volume."""

    nexus_api = 1
    layer, passes = 6, "ledger"
    limit = Param(500.0, low=0.0, high=1e9, help="units")

    @staticmethod
    def step(row, account, position, proposal, params):
        return row.volume


class AmongStrategies(Price):
    layer = 2


class Unwritten(Volume):
    layer, passes = 1, "market"


class OfThree(Volume):
    @staticmethod
    def step(row, account, params):
        return row.volume


class Following(Price):
    setting = "max_daily_los"


class ByChance(Volume):
    @staticmethod
    def step(row, account, position, proposal, params):
        return np.random.random() if row.symbol > 0 else 1.0


class OfTheHighest(Price):
    @staticmethod
    def values(columns, state, params):
        return columns.close / columns.close.max()


class Forgetful(Price):
    @staticmethod
    def values(columns, state, params):
        return np.maximum.accumulate(columns.close)


MEMORY = weakref.WeakKeyDictionary()


class Secretive(Price):
    """It counts rows beside its state, each instance for itself."""

    @staticmethod
    def values(columns, state, params):
        seen, made = MEMORY.setdefault(params, Counter()), np.empty(len(columns))
        for n, symbol in enumerate(columns.symbol.tolist()):
            seen[symbol] += 1
            made[n] = seen[symbol] % 9
        return made


class Objects(Price):
    @staticmethod
    def state(params):
        return {"seen": object()}


class Touchy(Price):
    @staticmethod
    def values(columns, state, params):
        if np.isnan(columns.volume).any():
            raise ValueError("volume is unknown")
        return columns.close


class Skipping(Price):
    @staticmethod
    def values(columns, state, params):
        return columns.close[columns.volume > 0]


class TouchyStep(Volume):
    @staticmethod
    def step(row, account, position, proposal, params):
        if math.isnan(row.volume):
            raise ValueError("volume is unknown")
        return row.volume


class SelfJudging(Price):
    @staticmethod
    def values(columns, state, params):
        return np.where(columns.close >= params.limit, np.inf, columns.close)


class SelfJudgingStep(Volume):
    @staticmethod
    def step(row, account, position, proposal, params):
        return math.inf if row.volume >= params.limit else row.volume


class Stubborn(Price):
    @staticmethod
    def values(columns, state, params):
        return columns.close if params.limit < 1e6 else columns.close + np.inf


class Slow(Price):
    @staticmethod
    def values(columns, state, params):
        return np.array([close + 0.0 * sum(range(3000)) for close in columns.close])


class SlowStep(Volume):
    @staticmethod
    def step(row, account, position, proposal, params):
        total = row.volume
        for n in range(4000):
            total = math.sqrt(total * total + n)
        return total


class Mixing(Price):
    @staticmethod
    def state(params):
        return {"seen": 0}

    @staticmethod
    def values(columns, state, params):
        count = state["seen"][0] + np.arange(len(columns))
        state["seen"][0] += len(columns)
        return count % 9.0


GATES = [
    (AmongStrategies, {"G01": r"^gate bad: layer was 2, must be 1, 3, 4, 5 or 6"}),
    (Unwritten, {"G01": "^a market gate has no values of its own"}),
    (OfThree, {"G01": "^step took 3 arguments, must take 5"}),
    (Following, {"G01": r"^follows the setting risk\.max_daily_los, which does not exist"}),
    (ByChance, {"G02": r"^the value of row \d+ \(symbol 1, 2026-.*and, asked again, "}),
    # what looks ahead in its block also hangs on the size of the block
    (OfTheHighest, {"G03": "with the rows after it and", "G04": "in one block and"}),
    (Forgetful, {"G04": r"^the value of row \d+ .* in blocks of 1 ticks\. Keep what"}),
    (Secretive, {"G05": "in a run that went on and .* in one restored before it"}),
    (Objects, {"G04": "^its state after all rows differed", "G05": "^its state holds Python objects"}),
    (Touchy, {"G06": r"^values raised ValueError from row \d+ \(symbol \d, .*: volume is unknown"}),
    (Skipping, {"G06": r"^values had shape \(\d+,\) from row \d+ .*, must be \(\d+,\)"}),
    (TouchyStep, {"G06": r"^its step raised ValueError at row \d+ \(symbol \d, .*: volume is unknown"}),
    (SelfJudging, {"G07": r"^value .* was refused under the limit .*, where it became inf"}),
    (SelfJudgingStep, {"G07": r"^value .* was refused under the limit .*, where it became inf"}),
    (Stubborn, {"G08": r"^moment 0 passed under the limit .* and was refused under the looser 1000000000"}),
    (Mixing, {"G10": "among other symbols and .* alone"}),
]  # fmt: skip


def broken_as(of, expected):
    """Tell that exactly these checks fail, each with a text that matches."""
    found = failures(of)
    assert found.keys() == expected.keys(), found
    for number, text in expected.items():
        assert re.search(text, found[number]), found[number]


def named(value):
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("plugin", "expected"), GATES, ids=named)
def test_a_gate_that_breaks_a_promise(plugin, expected):
    broken_as(Subject("gates", "bad", plugin), expected)


@pytest.mark.jit
@pytest.mark.parametrize("plugin", [Slow, SlowStep])
def test_a_gate_that_is_slow(plugin):
    broken_as(Subject("gates", "bad", plugin), {"G09": r"^took [\d.]+ microseconds a row, may take 5"})


@pytest.mark.jit
def test_a_gate_whose_step_cannot_be_compiled():
    class Vague(Volume):
        @staticmethod
        def step(row, account, position, proposal, params):
            return row.nothing

    assert "its step cannot be compiled: " in failures(Subject("gates", "bad", Vague))["G06"]


def test_what_does_not_stand_in_a_chain_is_examined_no_further():
    assert needless(Subject("gates", "bad", AmongStrategies)) == {f"G{n:02d}" for n in range(2, 11)}


@pytest.mark.parametrize(
    "name",
    ["Duplicate", "PositionSize", "DailyLoss", "WeeklyLoss", "Drawdown", "Margin", "StopLoss", "MinSize"],
)
def test_the_risk_gates_keep_their_contract(name):
    assert failures(Subject("gates", name, getattr(nexus_gate_risk, name))) == {}


def test_market_gates_that_keep_their_contract(shelf):
    for plugin in (shelf.Calm, Price):
        assert failures(Subject("gates", "good", plugin)) == {}
    slow = set() if compile.JIT else {"G09"}
    assert needless(Subject("gates", "good", shelf.Calm)) == slow
    assert needless(Subject("gates", "good", Price)) == slow | {"G10"}


# -- feature sets -------------------------------------------------------------------------------------


class Ranges(FeatureSet):
    """Two features that break no promise."""

    nexus_api = 1
    names = ("reach", "usual")
    needs = {"bar"}

    @staticmethod
    def state(params, interval):
        return {"mean": steps.rolling_mean(5), "row": 0}

    @staticmethod
    def step(row, view, state, params, out):
        out[0] = (row.high - row.low) / row.open
        out[1] = steps.rolling_mean.push(state.mean, out[0]) if out[0] == out[0] else np.nan
        unknown = np.isnan(row.open + row.high + row.low + row.close)
        return 1 if unknown else 0


class TwiceNamed(Ranges):
    names = ("reach", "reach")


class Listed(Ranges):
    names = ["reach", "usual"]


class Thirsting(Ranges):
    needs = {"bar", "news"}


class Stateless(FeatureSet):
    nexus_api = 1
    names = ("reach",)

    @staticmethod
    def step(row, view, state, params, out):
        return 0


class OfFour(Ranges):
    @staticmethod
    def step(row, state, params, out):
        return 0


class Unwriting(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        out[0] = row.high
        return 0


class Overflowing(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        out[0], out[1] = row.high, row.low
        return 16


class Dicing(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        out[0], out[1] = row.high, np.random.random()
        return 1 if np.isnan(row.open + row.high + row.low + row.close) else 0


class Accepting(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        out[0], out[1] = row.high, row.low
        return 0


class Endless(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        out[0] = row.high
        out[1] = np.inf if row.volume == 0.0 else row.volume
        return 1 if np.isnan(row.open + row.high + row.low + row.close) else 0


class Poisonable(Ranges):
    @staticmethod
    def state(params, interval):
        return {"sum": 0.0}

    @staticmethod
    def step(row, view, state, params, out):
        state.sum += row.high
        out[0], out[1] = row.high, state.sum
        return 1 if np.isnan(row.open + row.high + row.low + row.close) else 0


class Dawdling(Ranges):
    @staticmethod
    def step(row, view, state, params, out):
        total = row.open
        for n in range(20_000):
            total = total * 0.999 + n
        out[0], out[1] = total, row.low
        return 1 if np.isnan(row.open + row.high + row.low + row.close) else 0


class Holding(Ranges):
    """Holds a Python object, which only plain Python bears."""

    @staticmethod
    def state(params, interval):
        return {"seen": np.array([None])}


class ByHand(FeatureLoop):
    """Runs Python in place of a step: what no compiled step can do."""

    def run(self, rows, first, last, views, out, missing):
        self.take(rows, int(first[0]), int(last[0]), out)
        unknown = np.isnan(rows["open"] + rows["high"] + rows["low"] + rows["close"])
        missing[first[0] : last[0]] = unknown[first[0] : last[0]]

    def take(self, rows, first, last, out):
        raise AssertionError


class Foreseeing(ByHand):
    def take(self, rows, first, last, out):
        out[first:last] = rows["high"][first:last, None]
        out[first : last - 1, 1] = rows["high"][first + 1 : last]


class Beginning(ByHand):
    """Begins anew with each block."""

    def take(self, rows, first, last, out):
        out[first:last] = np.fmax.accumulate(rows["high"][first:last])[:, None]


class Remembering(ByHand):
    """Remembers beside its state."""

    count = 0

    def take(self, rows, first, last, out):
        out[first:last] = (self.count + np.arange(last - first))[:, None]
        self.count += last - first


SETS = [
    (TwiceNamed, {"T01": "^two of its names are the same"}),
    (Listed, {"T01": r"^names was \['reach', 'usual'\], must be a tuple"}),
    (Thirsting, {"T01": "^needs news, which no row carries"}),
    (Stateless, {"T01": "^it has no state of its own"}),
    (OfFour, {"T01": "^step took 4 arguments, must take 5"}),
    (Unwriting, {"T01": r"^nothing was written for usual at row 0 \(2026-"}),
    (Overflowing, {"T01": "^its step answered 16, must be a bit for each"}),
    (Accepting, {"T06": r"^row \d+ \(2026-.*\) had no bar, and its step did not answer so"}),
    (Endless, {"T06": r"^usual of row \d+ .* was infinite"}),
    (Poisonable, {"T06": "^usual stayed NaN after rows with unknown values"}),
]


@pytest.mark.parametrize(("plugin", "expected"), SETS, ids=named)
def test_a_feature_set_that_breaks_a_promise(plugin, expected):
    broken_as(Subject("features", "bad", plugin), expected)


def test_a_feature_set_by_chance():
    found = failures(Subject("features", "bad", Dicing))
    assert re.search(r"^usual of row 0 .* was .* and, asked again, ", found["T02"])
    assert found.keys() == {"T02", "T03", "T04", "T05"}


BY_HAND = [
    (Foreseeing, {"T03": r"^usual of row 0 .* with the rows after it", "T04": ""}),
    (Beginning, {"T04": r"^reach of row \d+ .* in blocks of 1 rows\. Keep", "T05": ""}),
    (Remembering, {"T05": "in a run that went on and .* in one restored before it"}),
]


@pytest.mark.parametrize(("loop", "expected"), BY_HAND, ids=named)
def test_a_feature_set_that_sees_or_remembers_what_it_must_not(monkeypatch, loop, expected):
    monkeypatch.setattr("nexus_core.testing.features.FeatureLoop", loop)
    broken_as(Subject("features", "bad", Ranges), expected)


def test_a_feature_set_that_holds_objects(monkeypatch):
    monkeypatch.setattr("nexus_core.testing.features.FeatureLoop", Beginning)
    assert "its state holds Python objects" in failures(Subject("features", "bad", Holding))["T05"]


@pytest.mark.jit
def test_a_feature_set_that_is_slow_or_cannot_be_compiled():
    broken_as(Subject("features", "bad", Dawdling), {"T07": r"^took [\d.]+ microseconds a row, may take 5"})

    class Vague(Ranges):
        @staticmethod
        def step(row, view, state, params, out):
            return row.nothing

    assert re.search("^its step raised .*nothing", failures(Subject("features", "bad", Vague))["T01"])


def test_feature_sets_that_keep_their_contract():
    assert failures(Subject("features", "good", Ranges)) == {}
    assert needless(Subject("features", "good", Ranges)) == (set() if compile.JIT else {"T07"})
    assert needless(Subject("features", "bad", OfFour)) == {f"T{n:02d}" for n in range(2, 8)}


# -- feeds --------------------------------------------------------------------------------------------

MADE = itertools.count(1)


class Even(Feed):
    """Prices that swing, of as many symbols as are asked for."""

    nexus_api = 1
    offers = {"bar", "volume"}
    ticks = 500

    def recording(self, market):
        return {"feed": "even"}

    def chunks(self, market, start):
        for first in range(start, market.ticks, self.ticks):
            yield self.chunk(market, np.arange(first, min(first + self.ticks, market.ticks)), start)

    def chunk(self, market, ticks, start):
        count = len(market.instruments)
        parts = [self.rows(market, ticks, symbol) for symbol in range(count)]
        return Chunk(np.concatenate(parts), np.arange(count + 1) * len(ticks))

    def rows(self, market, ticks, symbol):
        made = empty(ROW, len(ticks))
        made["ts"], made["seq"], made["symbol"] = START + (ticks + 1) * market.interval, ticks, symbol
        made["open"] = made["close"] = 100.0 + symbol + ticks % 7
        made["high"], made["low"], made["volume"] = made["close"] + 1, made["close"] - 1, 5
        return made


def even(**fields):
    """Return a feed whose rows are otherwise in these fields, each a function of market, ticks and symbol."""

    class Odd(Even):
        def rows(self, market, ticks, symbol):
            made = super().rows(market, ticks, symbol)
            for name, value in fields.items():
                made[name] = value(market, ticks, symbol)
            return made

    return Odd


class Nameless(Even):
    offers = {"bar", "candle"}


class Quoting(Even):
    offers = {"bar", "volume", "quote"}


class Rushing(Even):
    def chunks(self, market, start):
        yield from super().chunks(Market(market.instruments, market.interval, 7, market.ticks + 3), start)


class Stammering(Even):
    def chunks(self, market, start):
        for chunk in super().chunks(market, start):
            yield chunk
            yield Chunk(empty(ROW, 0), np.zeros(len(market.instruments) + 1, np.int64))


class Minutely(Even):
    """It has no bars but of a minute, and says so."""

    def chunks(self, market, start):
        if market.interval != MINUTE:
            raise DataError("minutely: there are bars of a minute only. Ask for these.")
        return super().chunks(market, start)


class Bare(Even):
    def chunks(self, market, start):
        for chunk in super().chunks(market, start):
            yield chunk.rows


class Counting(Even):
    """Its rows are numbered from where it was begun with."""

    def chunk(self, market, ticks, start):
        made = super().chunk(market, ticks, start)
        made.rows["seq"] -= start
        return made


class Drifting(Even):
    def recording(self, market):
        return {"feed": "drifting", "made": next(MADE)}


class Unwritable(Even):
    def recording(self, market):
        return {"feed": "unwritable", "symbols": set(market.symbols)}


class Trickling(Even):
    ticks = 100

    def chunk(self, market, ticks, start):
        time.sleep(2e-3)
        return super().chunk(market, ticks, start)


class Crowded(even(close=lambda market, ticks, symbol: 100.0 + len(market.instruments))):
    """Its prices hang on how many symbols there are, and it says so."""

    correlated = True

    def rows(self, market, ticks, symbol):
        made = super().rows(market, ticks, symbol)
        made["open"], made["high"], made["low"] = made["close"], made["close"], made["close"]
        return made


class Packed(Crowded):
    correlated = False


def unbought(rows):
    rows["buy_volume"] = math.nan
    return rows


def at_tick_3(value, otherwise):
    return lambda market, ticks, symbol: np.where(ticks == 3, value, otherwise)


def two_halves(order):
    """Return a feed that yields the halves of its rows in this order."""

    class Halved(Even):
        def chunks(self, market, start):
            middle = (start + market.ticks) // 2
            ticks = np.arange(start, middle), np.arange(middle, market.ticks)
            return (self.chunk(market, ticks[n], start) for n in order if len(ticks[n]))

    return Halved


class FirstAlone(Even):
    def chunk(self, market, ticks, start):
        return super().chunk(Market(market.instruments[:1], market.interval, 7, market.ticks), ticks, start)


class Eventful(Even):
    """Each bar has a quote, a trade, another trade and a change of the book, ten seconds apart."""

    offers = {"bar", "volume", "quote", "trade", "book"}
    clocks = {"bar", "event"}

    def chunk(self, market, ticks, start):
        count = len(market.instruments)
        events = [self.events(ticks, symbol) for symbol in range(count)]
        rows = [self.made(market, each) for each in events]
        starts = [np.cumsum([0, *map(len, each)]) for each in (rows, events)]
        return Chunk(np.concatenate(rows), starts[0], np.concatenate(events), starts[1])

    def made(self, market, events):
        """Make rows of the trades, of 2.0 and then 3.0, and of the last of all events."""
        times, ends = np.unique(-(-events["ts"] // market.interval) * market.interval, return_inverse=True)
        rows, trade = empty(ROW, len(times)), np.flatnonzero(events["kind"] == TRADE)
        rows["ts"], rows["symbol"] = times, events["symbol"][0]
        rows["seq"][ends] = events["seq"]  # the last one stays
        for name in ("open", "high", "low", "close", "bid", "ask"):
            rows[name] = 100.0
            rows[name][ends[trade]] = events["price"][trade]
        rows["volume"] = np.bincount(ends, events["size"] * (events["kind"] == TRADE))
        return rows

    def events(self, ticks, symbol):
        price = 100.0 + symbol + ticks % 7
        told = [(TRADE, BUY, price - 1, 2.0), (TRADE, SELL, price, 3.0)]
        told += [(QUOTE, BUY, price - 0.5, 1.0), (QUOTE, SELL, price + 0.5, 1.0)]
        told += [(CLEAR, 0, 0.0, 0.0), (LEVEL, BUY, price - 0.5, 4.0), (LEVEL, SELL, price + 0.5, 5.0)]
        made = np.zeros((len(ticks), len(told)), EVENT)
        for place, (kind, side, at, size) in enumerate(told):
            made["kind"][:, place], made["side"][:, place] = kind, side
            made["price"][:, place], made["size"][:, place] = at, size
            made["ts"][:, place] = START + ticks * MINUTE + (1 + place // 2) * 10_000_000_000
            made["seq"][:, place] = ticks * 10 + place
            made["flags"][:, place] = (0, LAST)[place in (0, 1, 3, 6)] | (0, SNAPSHOT)[place > 3]
        made["symbol"] = symbol
        return made.reshape(-1)


def eventful(rows=None, **fields):
    """Return a feed of events that are otherwise in these fields, each a function of events and ticks."""

    class Odd(Eventful):
        ticks = 100

        def events(self, ticks, symbol):
            made = super().events(ticks, symbol)
            for name, value in fields.items():
                made[name] = value(made, ticks)
            return made

        def made(self, market, events):
            made = super().made(market, events)
            return made if rows is None else rows(made)

    return Odd


def of_the_fourth(**fields):
    """Return what writes fields of the row of tick 3."""

    def changed(rows):
        for name, value in fields.items():
            rows[name][rows["seq"] == 36] = value
        return rows

    return changed


class Retelling(Eventful):
    """Each chunk tells the events of the tick before it again."""

    ticks = 200

    def chunk(self, market, ticks, start):
        chunk = super().chunk(market, ticks, start)
        before = super().chunk(market, np.arange(max(ticks[0] - 1, 0), ticks[-1] + 1), start)
        return Chunk(chunk.rows, chunk.starts, before.events, before.event_starts)


FEEDS = [
    (type("Listed", (Even,), {"offers": ["bar"]}), {"F01": r"^offers was \['bar'\], must be a set"}),
    (type("Live", (Even,), {"live": "no"}), {"F01": "^live was 'no', must be True or False"}),
    (Nameless, {"F01": "^offers candle, which is nothing a row carries"}),
    (even(high=at_tick_3(1.0, 110.0)), {"F02": r"^high was below open or close at row 3 \(symbol 0, 2026-"}),
    (even(low=at_tick_3(109.0, 1.0)), {"F02": "^low was above open or close at row 3 "}),
    (even(close=at_tick_3(math.nan, 101.0)), {"F02": "^close was no price above 0 at row 3 "}),
    (even(open=at_tick_3(0.0, 101.0)), {"F02": "^open was no price above 0 at row 3 "}),
    (even(volume=at_tick_3(-1.0, 1.0)), {"F02": "^volume was below 0 at row 3 "}),
    (even(volume=lambda *_: math.nan), {"F02": "^offers volume, and volume of symbol 0 was always NaN"}),
    (Quoting, {"F02": "^bid was no price above 0 at row 0 "}),
    (
        even(ts=lambda market, ticks, symbol: START + (ticks + 1) * MINUTE),
        {"F02": r"^row 1 .* came 60,000,000,000 ns after the one before it, bars of 300,000,000,000 ns"},
    ),
    (Rushing, {"F02": "^gave 253 ticks of the 250 asked for"}),
    (Stammering, {"F02": "^chunk 1 was empty"}),
    # what is by chance differs, whatever it is asked for
    (
        even(volume=lambda market, ticks, symbol: np.random.random(len(ticks))),
        {"F03": "^volume of row 0 .* when the same market was asked for again", "F04": "", "F05": ""},
    ),
    (Counting, {"F04": r"^seq of row 0 \(symbol 0, 2026-.*\) differed when tick 1 was begun with"}),
    (Packed, {"F05": "^open of row 0 .* differed when 1 symbols were asked for and not 3"}),
    (
        eventful(kind=lambda made, ticks: np.where(made["kind"] == LEVEL, QUOTE, made["kind"])),
        {"F02": "^offers book, and no event of symbol 0 was of kind CLEAR or LEVEL. Offer less"},
    ),
    (
        eventful(kind=lambda made, ticks: np.where(made["kind"] == TRADE, QUOTE, made["kind"]),
                 rows=lambda rows: np.where(rows["seq"] < 0, rows, unbought(rows))),
        {"F02": "^offers trade, and buy_volume of symbol 0 was always NaN"},
    ),
    (
        Retelling,
        {
            "F04": r"^ts of event 0 .* when tick 1 was begun with",
            "F08": r"^event 0 \(symbol 0, 2026-.*\) came in the chunk after the one to 2026-",
        },
    ),
    (
        eventful(local=lambda made, ticks: np.random.randint(2**40, size=len(made))),
        {"F03": "^local of event 0 .* asked for again", "F04": "", "F05": ""},
    ),
    (
        eventful(seq=lambda made, ticks: np.arange(len(made))),
        {"F08": r"^seq of event 0 .* was 0, and \d+ in the chunk before. Count on", "F04": ""},
    ),
    (
        eventful(rows=of_the_fourth(close=99.0, low=99.0)),
        {"F08": "^close of row 3 .* was 99, its trades make it 103"},
    ),
    (eventful(rows=of_the_fourth(volume=4.0)), {"F08": "^volume of row 3 .* was 4, its trades make it 5"}),
    (
        eventful(rows=lambda rows: rows[rows["seq"] != 36]),
        {"F04": "", "F08": "^event 6 .* fell into no row, with clock = bar"},
    ),
    (
        eventful(price=lambda made, ticks: made["price"] + 2.0 * (made["side"] * made["kind"] == LEVEL)),
        {"F08": r"^after event 6 .* the book's bid was 101\.5, its ask 100\.5"},
    ),
    (Drifting, {"F06": "^its recording of one market differed"}),
    (Unwritable, {"F06": "^its recording is no JSON: "}),
]  # fmt: skip


@pytest.mark.parametrize(("plugin", "expected"), FEEDS, ids=named)
def test_a_feed_that_breaks_a_promise(plugin, expected):
    broken_as(Subject("feeds", "bad", plugin), expected)


def test_a_feed_whose_chunks_go_back_in_time():
    assert failures(Subject("feeds", "good", two_halves([0, 1]))) == {}
    found = failures(Subject("feeds", "bad", two_halves([1, 0])))["F02"]
    assert re.search("^chunk 1 began at .*, not after chunk 0 had ended", found)


def test_a_feed_that_leaves_symbols_out():
    found = failures(Subject("feeds", "bad", FirstAlone))["F02"]
    assert found == "chunk 0 held 1 symbols, 3 were asked for."


def test_a_feed_that_yields_no_chunks():
    assert "chunk 0 was a ndarray, must be a Chunk." in failures(Subject("feeds", "bad", Bare))["F02"]


@pytest.mark.jit
def test_a_feed_that_is_slow():
    broken_as(
        Subject("feeds", "bad", Trickling),
        {"F07": r"^gave [\d,]+ rows and events a second, must give 100,000"},
    )


def test_a_feed_that_runs_live_is_asked_for_no_rows():
    live = type("Live", (Even,), {"live": True})
    assert needless(Subject("feeds", "live", live)) == {f"F{n:02d}" for n in range(2, 9)}


class Filed(Even):
    """It plays the prices of a file, and cannot be made without one."""

    path = Text("", help="file of prices")

    def __init__(self, **given):
        super().__init__(**given)
        if not self.params.path:
            raise UsageError("filed: there is no path.")
        self.price = float(Path(self.params.path).read_text())

    @staticmethod
    def example(folder):
        assert not list(folder.iterdir())
        (folder / "prices").write_text("100")
        return {"path": str(folder / "prices")}


def test_a_feed_that_needs_a_path_is_tried_on_the_example_it_makes():
    of = Subject("feeds", "filed", Filed)
    assert failures(of) == {}
    assert (of.make().price, of.make().params.path) == (100.0, of.make().params.path)
    assert Path(of.make().params.path).parent != Path.cwd()


def test_what_is_given_by_hand_goes_before_the_example(tmp_path):
    (tmp_path / "own").write_text("7")
    assert Subject("feeds", "filed", Filed, {"path": str(tmp_path / "own")}).make().price == 7.0


def test_an_example_that_gives_no_parameters_is_told():
    lost = type("Lost", (Filed,), {"example": staticmethod(lambda folder: None)})
    assert (
        failures(Subject("feeds", "lost", lost))["F02"]
        == "example returned None, must return parameters by name."
    )


def test_feeds_that_keep_their_contract(shelf):
    given = {"rows": walk()}
    steady = Subject("feeds", "walk", shelf.Walk, {"gaps": False})
    for of in (steady, Subject("feeds", "given", Given, given), Subject("feeds", "even", Even)):
        assert failures(of) == {}
        assert needless(of) <= {"F05", "F07", "F08"}
    assert needless(Subject("feeds", "eventful", Eventful)) <= {"F07"}
    for plugin in (Eventful, eventful(), Minutely, Crowded, nexus_feed_synthetic.Synthetic):
        assert failures(Subject("feeds", "good", plugin)) == {}
    assert "F05" in needless(Subject("feeds", "crowded", Crowded))


# -- brokers ------------------------------------------------------------------------------------------


class Greedy(Costless):
    def fees(self):
        class Whole(FeeModel):
            nexus_api = 1

            @staticmethod
            def step(row, order, account, params):
                return 1.5

        return Whole()


class Raising(Costless):
    def slippage(self):
        class ForLong(SlippageModel):
            nexus_api = 1

            @staticmethod
            def step(row, order, params):
                if order.side < 0:
                    raise ValueError("no shorts")
                return 0.0

        return ForLong()


class Moody(Costless):
    def fees(self):
        return FixedFee(rate=next(MADE) * 1e-6)


class Undeclared(Broker):
    nexus_api = 1


class FullVenue(Broker):
    nexus_api = 1
    on_paper = False

    async def connect(self): ...

    async def disconnect(self): ...

    async def send(self, order): ...

    async def cancel(self, order_id): ...

    async def open_orders(self): ...

    async def events(self):
        yield


class NoCancel(FullVenue):
    cancel = None


class BlockingSend(FullVenue):
    def send(self, order): ...


class EventsAtOnce(FullVenue):
    async def events(self): ...


class EventList(FullVenue):
    def events(self):
        return []


class SendTwo(FullVenue):
    async def send(self, order, price): ...


BROKERS = [
    (Greedy, {}, {"B01": r"^fee was 1\.5 for a MARKET order to BUY at row 0 .*, must be above -1 and"}),
    (
        Raising,
        {},
        # it breaks a run off, too
        {"B01": "^its fees or slippage raised ValueError at row 0 .*: no shorts", "B02": "", "B04": ""},
    ),
    (Undeclared, {}, {"B01": "^declares no on_paper", "B03": "^has no cancel"}),
    (Moody, {}, {"B02": "^a run in blocks of 1 ticks came out otherwise"}),
    (NoCancel, {}, {"B03": "^has no cancel"}),
    (BlockingSend, {}, {"B03": r"^send is not a coroutine \(async def\)"}),
    (EventsAtOnce, {}, {"B03": "^events is not an async iterator"}),
    (EventList, {}, {"B03": "^events is no async iterator"}),
    (SendTwo, {}, {"B03": r"^send takes other arguments. Write send\(self, order"}),
    (
        nexus_broker_paper.Paper,
        {"fee": -0.01, "half_spread": 0.001},
        {"B04": r"^buying and selling at row 0 \(symbol 0, .*\) paid the trader 0\.018 of the price"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("plugin", "params", "expected"), BROKERS, ids=named)
def test_a_broker_that_breaks_a_promise(plugin, params, expected):
    broken_as(Subject("brokers", "bad", plugin, params), expected)


def test_brokers_that_keep_their_contract():
    for plugin in (nexus_broker_paper.Paper, Costless):
        assert failures(Subject("brokers", "good", plugin)) == {}
        assert needless(Subject("brokers", "good", plugin)) == {"B03"}
    assert failures(Subject("brokers", "venue", FullVenue)) == {}
    assert needless(Subject("brokers", "venue", FullVenue)) == {"B02", "B04"}


# -- commands -----------------------------------------------------------------------------------------


HELPED = typer.Option(help="Whom to greet.")


def app(settings=None, doc="Say hello.", option=HELPED):
    made = typer.Typer()

    def hello(to: Annotated[str, option] = "you"): ...

    hello.__doc__ = doc
    made.command("hello", context_settings=settings)(hello)
    return made


COMMANDS = [
    ("hello", app(doc=""), {"C01": "^its help has no first line"}),
    ("hello", print, {"C01": r"^was <built-in function print>, must be a typer\.Typer"}),
    ("hello", typer.Typer(), {"C01": r"^was a typer\.Typer without a command"}),
    ("hello", app({"help_option_names": ["--explain"]}), {"C01": "^--help ended with exit code 2"}),
    ("run", app(), {"C02": "^nexus run is a command of the kernel"}),
    ("hello", app({"ignore_unknown_options": True, "allow_extra_args": True}), {"C03": "^hello took --no"}),
    ("hello", app(option=typer.Option()), {"C05": "^hello: --to has no help"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "plugin", "expected"), COMMANDS)
def test_a_command_that_breaks_a_promise(name, plugin, expected):
    broken_as(Subject("commands", name, plugin), expected)


def test_a_command_below_a_command_is_held_to_the_same():
    both, below = typer.Typer(help="Greet."), app(option=typer.Option())
    both.add_typer(app(), name="first")
    both.add_typer(below, name="second")
    broken_as(Subject("commands", "greet", both), {"C05": "^greet second hello: --to has no help"})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a module as the command `early`."""

    def made(source):
        (tmp_path / "nexus_early.py").write_text(source)
        facts = tmp_path / "nexus_early-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: nexus-early\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text("[nexus.commands]\nearly = nexus_early:app\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.syspath_prepend(tmp_path)
        plugins.offers.cache_clear()

    yield made
    plugins.offers.cache_clear()
    sys.modules.pop("nexus_early", None)


EARLY = '''
import typer
import {needed}
app = typer.Typer()
@app.command()
def early():
    """Say something."""
'''


def test_a_command_whose_help_imports_what_is_heavy(install):
    install(EARLY.format(needed="numba"))
    broken_as(subject("commands", "early"), {"C04": "^its help imports numba"})


def test_a_command_whose_help_breaks_off(install):
    install(
        EARLY.format(needed="sys") + "if 'nexus_core.testing.contract' not in sys.modules: sys.exit('no')"
    )
    broken_as(subject("commands", "early"), {"C04": "^nexus early --help ended with exit code 4: .*no"})


def test_commands_that_keep_their_contract(install):
    assert failures(Subject("commands", "hello", app())) == {}
    assert needless(Subject("commands", "hello", app())) == {"C04"}
    install(EARLY.format(needed="json"))
    assert failures(subject("commands", "early")) == {}
    assert needless(subject("commands", "early")) == set()


def test_the_shelfs_command_keeps_its_contract_but_for_what_comes_of_its_module(shelf):
    # it stands in one module with strategies, and gives its option no help
    assert failures(subject("commands", "hello")).keys() <= {"C04", "C05"}


# -- listeners ----------------------------------------------------------------------------------------


def listener(hook, function):
    """Return an object that listens with one function."""
    return type("Listener", (), {hook: staticmethod(hookimpl(function))})()


def asks_more(run, price): ...


def from_environment(run):
    return os.environ["GREETING_URL"]


def sleeps(run, finished):
    time.sleep(0.15)


def expects_profit(result):
    return 1.0 / result["profit"] * result["bars_per_hour"]


LISTENERS = [
    (listener("nexus_fills", lambda run: None), {"H01": "^bad listens to nexus_fills, which is no hook"}),
    (listener("nexus_fill", asks_more), {"H01": "^bad cannot listen: .*price"}),
    (object(), {"H02": "^listens to nothing"}),
    (listener("nexus_start", from_environment), {"H03": "^nexus_start raised KeyError: 'GREETING_URL'"}),
    (listener("nexus_result", expects_profit), {"H03": "^nexus_result raised KeyError: 'bars_per_hour'"}),
    (listener("nexus_stop", sleeps), {"H03": r"^nexus_stop took \d+ ms, may take 100"}),
    (listener("nexus_gates", lambda: [Price()]), {"H04": "^nexus_gates answered .*, must give pairs"}),
    (listener("nexus_gates", lambda: None), {"H04": "^nexus_gates answered None, must give pairs"}),
    (listener("nexus_gates", lambda: [("a", Price())] * 2), {"H04": "^inserts two gates of one name: a, a"}),
    (listener("nexus_gates", lambda: [("a", AmongStrategies())]), {"H04": "^gate a: layer was 2"}),
]  # fmt: skip


@pytest.mark.parametrize(("plugin", "expected"), LISTENERS)
def test_a_listener_that_breaks_a_promise(plugin, expected, monkeypatch):
    monkeypatch.setenv("GREETING_URL", "https://example.org")
    broken_as(Subject("hooks", "bad", plugin), expected)
    assert os.environ["GREETING_URL"] == "https://example.org"


def test_listeners_that_keep_their_contract():
    assert failures(Subject("hooks", "heard", Heard())) == {}
    assert needless(Subject("hooks", "heard", Heard())) == set()
    inserts = listener("nexus_gates", lambda settings: [("a", Price()), ("b", Volume())])
    assert failures(Subject("hooks", "inserts", inserts)) == {}
    quiet = listener("nexus_stop", lambda run: None)
    assert failures(Subject("hooks", "quiet", quiet)) == {}
    assert needless(Subject("hooks", "quiet", quiet)) == {"H04"}


# -- fakes --------------------------------------------------------------------------------------------


def test_what_is_heard_is_written_down():
    heard, listeners = Heard(), Listeners([])
    listeners.add("heard", heard)
    for told in facts():
        for hook in HOOKS:
            listeners.call(hook, **told)
    assert [hook for hook, _ in heard.told] == HOOKS * 2
    assert [told["finished"] for told in heard.of("nexus_stop")] == [True, False]
    assert heard.of("nexus_fill")[0] == {"run": facts()[0]["run"], "fill": facts()[0]["fill"]}


def test_given_rows_come_back_in_chunks():
    made = np.concatenate([rows([1.0, 2.0, 3.0]), rows([4.0, 5.0, 6.0], symbol=1)])
    asked = Market((Instrument("A-USD"), Instrument("B-USD")), MINUTE, 0, 10)
    chunks = list(Given(made, ticks=2).chunks(asked, 0))
    assert [chunk.rows["close"].tolist() for chunk in chunks] == [[1.0, 2.0, 4.0, 5.0], [3.0, 6.0]]
    (late,) = Given(made).chunks(asked, 1)
    assert late.rows["close"].tolist() == [2.0, 3.0, 5.0, 6.0]
    with pytest.raises(DataError, match="its rows are not 120,000,000,000 ns apart"):
        list(Given(made).chunks(Market(asked.instruments, 2 * MINUTE, 0, 10), 0))
    other = rows([1.0, 2.0, 4.0])
    assert (
        Given(made).recording(asked) == Given(made.copy()).recording(asked) != Given(other).recording(asked)
    )


def test_costless_trading_pays_nothing():
    broker = Costless()
    trial = Trial(fee=broker.fees(), slippage=broker.slippage(), sizing="fixed-quantity", quantity=1.0)
    trial.run(rows([100.0, 100.0, 100.0, 100.0]), [1, 0, -1, 0])
    assert (trial.account["fills"], trial.account["trades"], trial.account["fees"]) == (2, 1, 0)
    assert trial.account["cash"] + trial.account["value"] == trial.account["peak"]


def test_a_clock_stands_still_until_it_is_moved():
    clock = Clock(5)
    assert (clock(), clock()) == (5, 5)
    clock.move(3)
    assert clock() == 8
    with pytest.raises(UsageError, match="moved by -1 ns"):
        clock.move(-1)


def test_a_walk_is_a_possible_market_with_gaps():
    made = walk()
    chunk = chunked(made, 3)
    assert chunk.ticks == 700
    assert 1800 < len(made) < 2000
    assert (made["low"] > 0).all()
    assert (made["bid"] < made["ask"]).all()
    assert len(set(made["session_id"].tolist())) == 2
    assert made.tobytes() == walk().tobytes() != walk(seed=8).tobytes()
    holes = walk(holes=True)
    assert all(0 < np.isnan(holes[name]).mean() < 0.2 for name in ("close", "bid", "buy_volume"))
    assert (holes["volume"] == 0).any()


def test_every_check_says_what_holds():
    every = [each for kind in LETTERS for each in CONTRACTS[kind]]
    assert [len(CONTRACTS[kind]) for kind in LETTERS] == [10, 8, 4, 7, 5, 4]
    assert len({each.number for each in every}) == len({each.title for each in every}) == len(every)
