from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_feed_synthetic import ROWS, Synthetic
from nexus_synthetic import LAW, START, Generator, default_price_tick

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


def test_it_takes_no_parameters():
    with pytest.raises(ConfigError, match="synthetic: unknown parameter volatility"):
        Synthetic(volatility=2)


def test_bars_beyond_the_end_of_time_are_refused_before_a_run_begins():
    last = (2**63 - 1 - START) // MINUTE
    assert Synthetic().recording(market("BTC-USD", ticks=last))
    with pytest.raises(UsageError, match="reach beyond the year 2262"):
        Synthetic().recording(market("BTC-USD", ticks=last + 1))
