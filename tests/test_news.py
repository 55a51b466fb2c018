"""What is told of a commit, against a ledger reckoned by hand; and that nobody listening costs nothing."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.compile import JIT
from nexus_core.feed import Market
from nexus_core.hookspecs import hookimpl
from nexus_core.journal import Batch, Input
from nexus_core.ledger.orders import APPROVAL, FILL, MODE, book
from nexus_core.listeners import Listeners
from nexus_core.news import News
from nexus_core.records import ACCOUNT, DECISION, EVENT, INSTRUMENT, OPINION, POSITION, VERDICT, empty
from nexus_core.strategy import QUARANTINE
from nexus_core.types import Instrument, Mode, Side, from_units

UNIT = 10**8
START = 1_772_409_600_000_000_000


class Ear:
    """Keeps what it is told of trades."""

    def __init__(self):
        self.trades = []

    @hookimpl
    def nexus_trade_closed(self, run, trade):
        assert run == "some-run"
        self.trades.append(trade)


class Ticker:
    """Listens to commits alone."""

    def __init__(self):
        self.told = []

    @hookimpl
    def nexus_commit(self, tick, timestamp):
        self.told.append((tick, timestamp))


class Modes:
    """Keeps modes and alerts."""

    def __init__(self):
        self.told = []

    @hookimpl
    def nexus_mode(self, mode, why):
        self.told.append((mode, why))

    @hookimpl
    def nexus_alert(self, title, text):
        self.told.append((title, text))

    @hookimpl
    def nexus_quarantine(self, strategy, why):
        self.told.append((strategy, why))


def news(*listeners, multiplier=1, symbols=1):
    heard = Listeners()
    for n, each in enumerate(listeners):
        heard.add(f"hooks:{n}", each)
    instruments = tuple(Instrument(f"S{n}-USD", multiplier=multiplier) for n in range(symbols))
    return News(heard, "some-run", Market(instruments, 60 * UNIT * 10, 7, 100), ())


def fills_of(rows):
    """Return fill events of (symbol, side, quantity, price, fee), all in units."""
    made, held = empty(EVENT, len(rows)), {}
    for n, (symbol, side, qty, *_) in enumerate(rows):
        held[symbol] = held.get(symbol, 0) + side * qty
        made[n]["kind"], made[n]["ts"], made[n]["order"] = FILL, START + n, n + 1
        for name, value in zip(("symbol", "side", "qty", "price", "fee"), rows[n], strict=True):
            made[n][name] = value
        made[n]["position"] = held[symbol]
    return made


def tell(told, events, inputs=()):
    told.tell(Batch(1, START, "", 0, events=[events], inputs=list(inputs)))


def trades_of(rows, multiplier=1, cut=None):
    ear = Ear()
    told, events = news(ear, multiplier=multiplier, symbols=3), fills_of(rows)
    if cut is None:
        tell(told, events)
    else:
        told.told_of(events[:cut])
        tell(told, events[cut:])
    return ear.trades


# -- trades reckoned by hand ------------------------------------------------------------------------------


def test_a_trade_bought_and_sold():
    # 2 at 100, sold at 103: 6, less fees of 0.25 and 0.5
    rows = [(0, 1, 2 * UNIT, 100 * UNIT, UNIT // 4), (0, -1, 2 * UNIT, 103 * UNIT, UNIT // 2)]
    (trade,) = trades_of(rows)
    assert (trade.symbol, trade.side, trade.quantity) == ("S0-USD", Side.BUY, 2)
    assert (trade.profit, trade.fees) == (Decimal("5.25"), Decimal("0.75"))
    assert (trade.opened, trade.closed) == (START, START + 1)


def test_a_trade_built_up_and_sold_off_in_parts_is_one():
    rows = [
        (0, -1, UNIT, 10 * UNIT, 0), (0, -1, 2 * UNIT, 13 * UNIT, UNIT), (0, 1, UNIT, 11 * UNIT, 0),
        (0, -1, UNIT, 12 * UNIT, 0), (0, 1, 3 * UNIT, 9 * UNIT, -UNIT // 2),
    ]  # fmt: skip
    # sold for 10 + 26 + 12, bought for 11 + 27; fee of 1, rebate of 0.5
    (trade,) = trades_of(rows)
    assert (trade.side, trade.quantity, trade.profit, trade.fees) == (
        Side.SELL, 3, Decimal("9.5"), Decimal("0.5"),
    )  # fmt: skip
    assert (trade.opened, trade.closed) == (START, START + 4)


def test_a_trade_that_turns_over_ends_and_another_begins():
    rows = [
        (0, 1, 2 * UNIT, 10 * UNIT, 0),
        (0, -1, 5 * UNIT, 12 * UNIT, UNIT),
        (0, 1, 3 * UNIT, 11 * UNIT, 0),
    ]
    first, second = trades_of(rows)
    assert (first.side, first.quantity, first.profit, first.fees) == (Side.BUY, 2, 3, 1)
    assert (second.side, second.quantity, second.profit, second.fees) == (Side.SELL, 3, 3, 0)
    assert (first.closed, second.opened, second.closed) == (START + 1, START + 1, START + 2)


def test_a_multiplier_multiplies_the_result_and_not_the_fee():
    rows = [(0, 1, UNIT, 10 * UNIT, UNIT), (0, -1, UNIT, 11 * UNIT, UNIT)]
    (trade,) = trades_of(rows, multiplier=50)
    assert (trade.quantity, trade.profit, trade.fees) == (1, 48, 2)


def test_the_last_unit_of_a_turn_belongs_to_the_position_that_opens():
    # 3 units sold at 1.5 are 4.5 units, so 4; two thirds of them, 2.67 and so 3, end the long; 1 is left
    rows = [(0, 1, 2, UNIT, 0), (0, -1, 3, 3 * UNIT // 2, 0), (0, 1, 1, UNIT, 0)]
    first, second = trades_of(rows)
    assert first.profit == from_units(3 - 2)
    assert second.profit == from_units(1 - 1)


def test_symbols_are_reckoned_apart():
    rows = [
        (0, 1, UNIT, 10 * UNIT, 0), (2, -1, UNIT, 5 * UNIT, 0), (0, -1, UNIT, 11 * UNIT, 0),
        (2, 1, UNIT, 7 * UNIT, 0),
    ]  # fmt: skip
    assert [(each.symbol, each.profit) for each in trades_of(rows)] == [("S0-USD", 1), ("S2-USD", -2)]


def test_what_is_open_is_told_of_when_it_closes_only():
    rows = [(0, 1, UNIT, 10 * UNIT, 0)]
    assert trades_of(rows) == []
    assert trades_of([*rows, (0, -1, UNIT // 2, 10 * UNIT, 0)]) == []


# -- against the compiled ledger and against decimals -----------------------------------------------------

fills = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([1, -1]),
        st.one_of(st.integers(1, 9), st.integers(1, 5 * UNIT)),
        st.one_of(st.integers(1, 3 * UNIT), st.integers(UNIT, 10**13)),
        st.integers(-1000, 1000),
    ),
    min_size=1,
    max_size=30,
)


def by_decimals(rows, multiplier):
    """Return the result of each trade and of what is open: an oracle with decimals of its own."""
    held, result, closed = {}, {}, []
    with localcontext() as context:
        context.prec = 80
        for symbol, side, qty, price, fee in rows:
            before = held.get(symbol, 0)
            held[symbol] = before + side * qty
            notional = (Decimal(price * qty * multiplier) / UNIT).quantize(Decimal(1), ROUND_HALF_EVEN)
            turns = before * side < 0 and qty > abs(before)
            part = abs(before) if turns else qty
            mine = (notional * part / qty).quantize(Decimal(1), ROUND_HALF_EVEN)
            result[symbol] = result.get(symbol, 0) - side * mine - fee
            if before and before * held[symbol] <= 0:
                closed.append(result[symbol])
                result[symbol] = -side * (notional - mine)
    return closed


@given(rows=fills, multiplier=st.sampled_from([1, 5, 1000]))
@settings(max_examples=300 if JIT else 40)
def test_trades_are_what_decimals_make_them(rows, multiplier):
    told = [each.profit for each in trades_of(rows, multiplier)]
    assert told == [from_units(int(each)) for each in by_decimals(rows, multiplier)]


@given(rows=fills, multiplier=st.sampled_from([1, 7, 100]))
@settings(max_examples=200 if JIT else 40)
def test_trades_add_up_to_the_ledger_to_the_last_unit(rows, multiplier):
    account, positions, instrument = empty(ACCOUNT), empty(POSITION, 3), empty(INSTRUMENT)
    account["cash"], instrument["multiplier"], instrument["margin_rate"] = 10**17, multiplier, UNIT
    booked = compile.plain(_book_all)
    booked(account, positions, instrument, rows)
    trades = trades_of(rows, multiplier)
    assert len(trades) == account["trades"][0]
    assert sum(each.profit > 0 for each in trades) == account["wins"][0]
    still = from_units(int(positions["trade"].sum()))
    net = from_units(int(account["realised"][0]) - int(account["fees"][0]))
    assert sum((each.profit for each in trades), still) == net


def _book_all(account, positions, instrument, rows):
    for n, (symbol, side, qty, price, fee) in enumerate(rows):
        compile.call(book, account[0], positions[symbol], instrument[0], side, qty, price, fee, START + n)


@given(rows=fills, part=st.floats(0.0, 1.0))
@settings(max_examples=100 if JIT else 20)
def test_what_came_before_is_taken_up_and_not_told_again(rows, part):
    cut = int(part * len(rows))
    whole = trades_of(rows)
    assert trades_of(rows, cut=cut) == [each for each in whole if each.closed >= START + cut]


# -- modes and quarantines --------------------------------------------------------------------------------


def mode_event(mode, ts, kind=MODE):
    made = empty(EVENT, 1)
    made["kind"], made["mode"], made["ts"] = kind, int(mode), ts
    return made


def test_each_mode_has_the_reason_it_was_asked_for_with():
    modes = Modes()
    asked = [(Mode.PAUSED, START, "a"), (Mode.NORMAL, START, "b")]
    inputs = [Input(0, mode_event(mode, ts).tobytes(), why) for mode, ts, why in asked]
    # a quarantine and the word of the breaker, later in the same block
    inputs.append(Input(0, mode_event(0, START + 5, QUARANTINE).tobytes(), "swing: 3 faults: in 9 rows"))
    events = np.concatenate(
        [mode_event(mode, ts) for mode, ts, _ in asked] + [mode_event(Mode.PAUSED, START + 9)]
    )
    tell(news(modes), events, inputs)
    breaker = "circuit breaker: lost or rejected too much this hour"
    assert modes.told == [
        (Mode.PAUSED, "a"), ("PAUSED", "a"), (Mode.NORMAL, "b"), (Mode.PAUSED, breaker), ("PAUSED", breaker),
        ("swing", "3 faults: in 9 rows"), ("quarantine", "swing: 3 faults: in 9 rows"),
    ]  # fmt: skip


# -- nobody listens ---------------------------------------------------------------------------------------


def lively_batch():
    decisions, verdicts = empty(DECISION, 50), empty(VERDICT, 100)
    decisions["verdicts"] = 2
    events = np.concatenate([fills_of([(0, 1, UNIT, UNIT, 0)] * 50), mode_event(Mode.PAUSED, START)])
    events["kind"][:10] = APPROVAL
    return Batch(7, START, "", 0, events=[events], traces=[(decisions, verdicts, empty(OPINION, 0))])


@pytest.fixture
def views(monkeypatch):
    """Count the views that are made of records."""
    made = []
    for name in ("_decision", "_order", "_fill", "_trades", "_verdict"):
        monkeypatch.setattr(News, name, lambda self, *_, name=name: made.append(name) or iter(()))
    return made


def test_where_nobody_listens_no_event_is_looked_at(views, monkeypatch):
    told = news()
    monkeypatch.setattr(Listeners, "call", lambda *_, **__: pytest.fail("nobody is there to be told"))
    for name in ("_modes", "_quarantines", "_each"):
        monkeypatch.setattr(News, name, lambda *_: pytest.fail("there is nothing to do"))
    told.tell(lively_batch())
    assert views == []


def test_who_listens_to_commits_alone_has_no_views_made(views):
    ticker = Ticker()
    news(ticker).tell(lively_batch())
    assert ticker.told == [(7, START)]
    assert set(views) <= {"_trades"}  # a generator that nobody asks
    assert views.count("_trades") <= 1
