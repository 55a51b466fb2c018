from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_feed_synthetic import ROWS, Synthetic
from nexus_synthetic import FLOW_LAW, LAW, START, Flow, Generator, default_grid, default_price_tick

from nexus_core import Market
from nexus_core.errors import ConfigError, UsageError
from nexus_core.types import Instrument

MINUTE = 60 * 10**9


def market(*symbols, ticks, seed=7, tick=None):
    rules = {} if tick is None else {"tick": Decimal(tick)}
    return Market(tuple(Instrument(each, **rules) for each in symbols), MINUTE, seed, ticks)


def rows(chunks, symbols):
    """Join chunks into one array of symbol by tick."""
    return np.concatenate([chunk.rows.reshape(symbols, chunk.ticks) for chunk in chunks], axis=1)


def test_it_declares_what_it_is():
    assert (Synthetic.nexus_api, Synthetic.name, Synthetic.live) == (1, "synthetic", False)
    assert Synthetic.offers == {"bar", "volume", "quote"}


def test_rows_are_the_generators():
    asked = market("BTC-USD", "ETH-USD", ticks=700)
    expected, _ = Generator(7, 2).take(700)
    assert rows(Synthetic().chunks(asked, 0), 2).tobytes() == expected.tobytes()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 300))
def test_from_any_tick_on_the_rows_are_the_same(start):
    asked = market("BTC-USD", "ETH-USD", ticks=300)
    whole, late = (list(Synthetic().chunks(asked, first)) for first in (0, start))
    if start == 300:
        assert late == []
    else:
        assert rows(late, 2).tobytes() == rows(whole, 2)[:, start:].tobytes()


def test_chunks_are_bounded_and_end_at_the_markets_last_tick(monkeypatch):
    monkeypatch.setattr("nexus_feed_synthetic.ROWS", 100)
    assert [c.ticks for c in Synthetic().chunks(market("BTC-USD", "A-B", "C-D", ticks=70), 3)] == [33, 33, 1]
    assert [c.ticks for c in Synthetic().chunks(market("BTC-USD", ticks=200), 0)] == [100, 100]
    monkeypatch.setattr("nexus_feed_synthetic.ROWS", 2)
    assert [c.ticks for c in Synthetic().chunks(market("BTC-USD", "A-B", "C-D", ticks=2), 0)] == [1, 1]
    assert ROWS == 65_536


@pytest.mark.parametrize("start", [5, 6])
def test_at_its_end_and_beyond_there_is_nothing(start):
    assert list(Synthetic().chunks(market("BTC-USD", ticks=5), start)) == []


def test_chunks_are_in_order_of_time_and_name_their_symbols():
    chunk = next(Synthetic().chunks(market("BTC-USD", "ETH-USD", ticks=50), 10))
    assert chunk.starts.tolist() == [0, 50 - 10, 2 * (50 - 10)]
    assert chunk.rows["symbol"][chunk.order].tolist() == [0, 1] * 40
    assert chunk.rows["seq"][chunk.order].tolist() == list(range(20, 100))
    assert (np.diff(chunk.times) == MINUTE).all()


def test_prices_lie_on_the_instruments_grid_and_without_one_on_a_sensible_one():
    (coarse,) = Synthetic().chunks(market("BTC-USD", ticks=200, tick="0.5"), 0)
    assert (coarse.rows["close"] % 0.5 == 0.0).all()
    (plain,) = Synthetic().chunks(market("BTC-USD", ticks=200), 0)
    cents = plain.rows["close"] * 100
    assert np.abs(cents - np.rint(cents)).max() < 1e-6
    assert (plain.rows["close"] % 0.5 != 0.0).any()


def test_the_recording_names_all_that_the_rows_hang_on():
    asked = market("BTC-USD", "ETH-USD", ticks=5)
    assert Synthetic().recording(asked) == {
        "feed": "synthetic",
        "law": LAW,
        "seed": 7,
        "interval": MINUTE,
        "symbols": ["BTC-USD", "ETH-USD"],
        "price_ticks": [default_price_tick(0), default_price_tick(1)],
    }
    assert Synthetic().recording(market("BTC-USD", ticks=5, tick="0.5"))["price_ticks"] == [50_000_000]


def test_an_unknown_parameter_is_refused():
    with pytest.raises(ConfigError, match="synthetic: unknown parameter volatility"):
        Synthetic(volatility=2)


def test_bars_beyond_the_end_of_time_are_refused_before_a_run_begins():
    last = (2**63 - 1 - START) // MINUTE
    assert Synthetic().recording(market("BTC-USD", ticks=last))
    with pytest.raises(UsageError, match="reach beyond the year 2262"):
        Synthetic().recording(market("BTC-USD", ticks=last + 1))


# -- order flow -------------------------------------------------------------------------------------


def seconds(*symbols, ticks, interval=5):
    return Market(tuple(Instrument(each) for each in symbols), interval * 10**9, 7, ticks)


def flowing(asked, start=0, **params):
    return list(Synthetic(market="flow", **params).chunks(asked, start))


def story(chunks, symbols):
    """Join rows and events of chunks, symbol by symbol."""
    return [
        np.concatenate([getattr(c, what)[getattr(c, at)[s] : getattr(c, at)[s + 1]] for c in chunks])
        for what, at in (("rows", "starts"), ("events", "event_starts"))
        for s in range(symbols)
    ]


def test_order_flow_offers_all_that_a_feed_can():
    assert Synthetic(market="flow").offers == {"bar", "volume", "quote", "trade", "book"}
    assert Synthetic(market="bars").offers == Synthetic.offers == {"bar", "volume", "quote"}
    with pytest.raises(ConfigError, match="synthetic: parameter market was 'ticks', must be bars or flow"):
        Synthetic(market="ticks")


def test_the_bars_of_order_flow_are_those_of_its_trades():
    chunks = flowing(seconds("BTC-USD", "ETH-USD", ticks=20))
    events, starts = Flow(7, 2, interval=5 * 10**9).take(21)
    rows = story(chunks, 2)[:2]
    for s in range(2):
        trades = events[starts[s] : starts[s + 1]]
        trades = trades[trades["kind"] == 1]
        for row in rows[s]:
            own = trades[(trades["ts"] > row["ts"] - 5 * 10**9) & (trades["ts"] <= row["ts"])]
            price = own["price"]
            assert (row["open"], row["close"]) == (price[0], price[-1])
            assert (row["high"], row["low"], row["trades"]) == (price.max(), price.min(), len(own))
            assert row["volume"] == pytest.approx(own["size"].sum())
            assert row["buy_volume"] == pytest.approx(own["size"][own["side"] > 0].sum())
            assert row["bid"] < row["ask"]


def test_events_come_with_their_rows_whatever_the_chunks(monkeypatch):
    asked = seconds("BTC-USD", "ETH-USD", ticks=20)
    whole = flowing(asked)
    monkeypatch.setattr("nexus_feed_synthetic.EVENTS", 1)
    pieces = flowing(asked)
    assert len(pieces) > len(whole) == 1
    for one, other in zip(story(whole, 2), story(pieces, 2), strict=True):
        assert one.tobytes() == other.tobytes()
    events, _ = Flow(7, 2, interval=5 * 10**9).take(30)
    last = whole[0].times[-1]
    assert whole[0].events.tobytes() == events[events["ts"] <= last].tobytes()


@pytest.mark.parametrize("start", [1, 7, 19])
def test_order_flow_is_the_same_from_any_tick_on(start):
    asked = seconds("BTC-USD", "ETH-USD", ticks=20, interval=1)
    whole, late = flowing(asked), flowing(asked, start)
    times = np.concatenate([chunk.times for chunk in whole])
    assert np.concatenate([chunk.times for chunk in late]).tolist() == times[start:].tolist()
    for one, other in zip(story(whole, 2), story(late, 2), strict=True):
        assert one[one["ts"] > times[start - 1]].tobytes() == other.tobytes()
    assert flowing(asked, 20) == []


def test_plants_and_activity_make_other_markets():
    asked = seconds("BTC-USD", ticks=30)
    made = [story(flowing(asked, **each), 1)[1] for each in ({}, {"activity": 3.0}, {"plants": True})]
    assert len({each.tobytes() for each in made}) == 3


def test_the_recording_of_order_flow_names_its_law():
    asked = seconds("BTC-USD", ticks=5)
    assert Synthetic(market="flow", plants=True).recording(asked) == {
        "feed": "synthetic", "market": "flow", "law": FLOW_LAW,
        "clock": "bar", "seed": 7, "interval": 5 * 10**9,
        "symbols": ["BTC-USD"], "price_ticks": [default_grid(0)],
        "activity": 1.0, "plants": True, "rate": 6.0,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="interval was 100000000 ns; it is whole seconds"):
        Synthetic(market="flow").recording(Market((Instrument("A-B"),), 10**8, 7, 5))


@pytest.mark.parametrize(("clock", "interval"), [("every", 250_000_000), ("event", 1)])
def test_order_flow_has_rows_for_finer_clocks(clock, interval):
    asked = Market((Instrument("BTC-USD"), Instrument("ETH-USD")), interval, 7, 400, clock)
    feed = Synthetic(market="flow")
    assert clock in feed.clocks
    chunks = list(feed.chunks(asked, 0))
    assert sum(chunk.ticks for chunk in chunks) == 400
    events = np.concatenate([chunk.events for chunk in chunks])
    for s in range(2):
        stamps = np.concatenate([c.rows["ts"][c.starts[s] : c.starts[s + 1]] for c in chunks])
        own = events["ts"][events["symbol"] == s]
        ends = -(-(own - START) // interval) * interval + START
        first = stamps[0]  # before a price is known there is no row
        assert stamps.tolist() == np.unique(ends[ends >= first]).tolist()


def test_a_population_is_one_market_and_no_other():
    """What was fitted on one says nothing of a busier one, or of one with patterns."""
    assert Synthetic().population == "synthetic bars"
    assert Synthetic(market="flow").population == "synthetic flow"
    assert Synthetic(market="flow", plants=True).population == "synthetic flow with 6 plants an hour"
    assert Synthetic(market="flow", activity=3.0).population == "synthetic flow of activity 3"
    busy = Synthetic(market="flow", activity=0.5, plants=True, rate=0.1)
    assert busy.population == "synthetic flow of activity 0.5 with 0.1 plants an hour"
