import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nexus_catalog import checks

from nexus_core.errors import ConfigError
from nexus_core.market.events import BACK, BUY, EVENT, LAST, LEVEL, QUOTE, SELL, TRADE
from nexus_core.steps.plain import log
from nexus_core.testing import MINUTE, rows

NAMES = [each.name for each in checks.FAULTS]


def said(found):
    """Return the names of the faults of each row."""
    return [checks.names(int(each)) for each in found]


def faults(market, now=0, symbols=1, **how):
    return said(checks.check(market, checks.states(symbols, interval=MINUTE, **how), now))


def alone(**fields):
    """Return the faults of the second of three bars, which has these fields."""
    market = rows([100.0, 101.0, 102.0])
    for name, value in fields.items():
        market[name][1] = value
    first, second, third = faults(market)
    assert first == ["locked"]
    return second, third


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["open", "high", "low", "close"])
def test_a_price_is_finite_and_above_0(name, price):
    found, _ = alone(**{name: price})
    assert "price" in found


@pytest.mark.parametrize("price", [0.0, -1.0, math.inf])
def test_a_quote_of_a_bar_is_a_price_or_unknown(price):
    assert "price" in alone(bid=price)[0]
    assert "price" in alone(ask=price)[0]
    assert alone(bid=math.nan, ask=math.nan)[0] == []


def test_what_is_impossible_is_refused_and_what_follows_is_compared_with_what_came_before_it():
    wrong = {
        "range": [{"high": 100.5}, {"low": 100.5}, {"high": 90.0, "low": 110.0}],
        "crossed": [{"bid": 101.2, "ask": 101.1}],
        "size": [{"volume": -1.0}, {"volume": 1e19}, {"volume": math.inf}, {"bid_size": -2.0}],
        "back": [{"ts": 0}],
    }
    for name, cases in wrong.items():
        for fields in cases:
            found, after = alone(**fields)
            assert found == [name]
            assert after == ["locked", "gap"]  # the refused bar is missing


def test_a_volume_that_is_unknown_is_no_fault_and_none_is_odd():
    assert alone(volume=math.nan)[0] == ["locked"]
    assert alone(volume=0.0)[0] == ["locked", "zero-volume"]


def test_the_same_bar_again_is_a_duplicate_and_another_of_its_time_a_contradiction():
    market = rows([100.0, 101.0, 102.0])
    market[1:] = market[0]
    market["volume"][2] = 9.0
    assert faults(market)[1:] == [["duplicate"], ["contradiction"]]
    market["volume"][:2] = math.nan
    assert faults(market)[1] == ["duplicate"]


def test_gaps_are_counted_from_the_interval_and_times_between_two_bars_are_off_the_grid():
    market = rows([100.0] * 4, bid=99.0)
    market["ts"][2:] += MINUTE
    market["ts"][3] += MINUTE // 2
    assert faults(market) == [[], [], ["gap"], ["gap", "off-grid"]]
    assert said(checks.check(market, checks.states())) == [[], [], [], []]


def test_a_market_that_is_closed_makes_no_gap():
    market = rows([100.0] * 4, bid=99.0, session_id=[5, 5, 6, 6])
    market["minutes_to_close"] = [1, 0, 389, 388]
    market["minute_of_session"] = [389, 390, 1, 2]
    market["ts"][2:] += 1000 * MINUTE
    assert faults(market, sessions=True) == [[], [], [], []]
    assert faults(market) == [[], [], ["gap"], []]
    market["minutes_to_close"][1] = 3  # three minutes before the close
    assert faults(market, sessions=True)[2] == ["gap"]
    for name in ("session_id", "minute_of_session", "minutes_to_close"):
        market[name] = -1  # outside any session
    assert faults(market, sessions=True) == [[], [], [], []]


def test_values_are_stale_from_so_many_equal_rows_on():
    market = rows([100.0] * 7, bid=99.0)
    market["close"][5] = market["high"][5] = 100.5
    assert faults(market, stale=3) == [[], [], ["stale"], ["stale"], ["stale"], [], []]
    assert faults(market, stale=0) == [[]] * 7


def test_a_clock_refuses_what_is_far_from_it():
    market = rows([100.0, 101.0], bid=99.0)
    now = int(market["ts"][1])
    assert faults(market, now, drift=MINUTE // 2) == [["drift"], []]
    assert faults(market, now, drift=MINUTE) == [[], []]
    assert faults(market, now) == [[], []]
    assert faults(market, drift=1) == [[], []]


def test_silence_is_time_since_the_last_row_that_was_accepted():
    market = rows([100.0, -1.0])
    states = checks.states()
    assert not checks.silent(states.view(np.recarray)[0], 10**19 - 10**18, 1)
    checks.check(market, states)
    state, first = states.view(np.recarray)[0], int(market["ts"][0])
    assert not checks.silent(state, first + 100, 100)
    assert checks.silent(state, first + 101, 100)


def test_a_symbol_must_be_known():
    market = rows([100.0, 101.0, 102.0], symbol=[0, 1, -1])
    assert faults(market) == [["locked"], ["symbol"], ["symbol"]]
    assert faults(market, symbols=2)[1] == ["locked"]


def moving(count, seed=3):
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.001, count)))


def test_a_spike_comes_back_at_once_and_a_jump_stays():
    closes = moving(120)
    spike, jump = closes.copy(), closes.copy()
    spike[80] *= 1.1
    jump[80:] *= 1.1
    odd = faults(rows(spike, bid=1.0))
    assert (odd[80], odd[81]) == (["far-price"], ["spike"])
    odd = faults(rows(jump, bid=1.0))
    assert (odd[80], odd[81]) == (["far-price"], ["jump"])
    assert sum(map(len, odd)) == 2


def test_a_size_far_from_what_is_usual_is_odd_and_kept():
    volumes = np.exp(np.random.default_rng(5).normal(0, 0.3, 100))
    volumes[70] *= 1e5
    odd = faults(rows(moving(100), bid=1.0, volume=volumes))
    assert odd[70] == ["far-size"]
    assert sum(map(len, odd)) == 1


def is_far(values, x, far):
    """Tell by the plain definition whether x is far from the values: median, and deviations from it."""
    middle = sorted(values)[len(values) // 2]
    deviations = sorted(abs(each - middle) for each in values)
    usual, tenth = deviations[len(values) // 2], deviations[9 * len(values) // 10]
    return abs(x - middle) > far * max(usual, tenth / 2.44, 1e-4)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from([31, 46]), st.sampled_from([2.0, 5.0]))
def test_far_is_what_the_medians_say(seed, window, far):
    closes = moving(150, seed)
    odd = faults(rows(closes, bid=1.0), window=window, far=far)
    returns = [float(log(b / a)) for a, b in pairwise(closes)]
    for n, move in enumerate(returns):
        if n >= 31 and "spike" not in odd[n + 1]:
            assert ("far-price" in odd[n + 1]) == is_far(returns[max(0, n - window) : n], move, far)


def test_where_most_bars_stand_still_the_others_are_not_far():
    moves = np.where(np.random.default_rng(1).random(400) < 0.8, 0.0, 0.002)
    moves *= np.where(np.random.default_rng(2).random(400) < 0.5, 1, -1)
    assert (np.median(np.abs(moves)), (moves != 0).mean() > 0.1) == (0.0, True)
    assert not any(faults(rows(100 * np.exp(np.cumsum(moves)), bid=1.0)))
    moves[300] = 0.04
    odd = faults(rows(100 * np.exp(np.cumsum(moves)), bid=1.0))
    assert [n for n, each in enumerate(odd) if "far-price" in each] == [300]


def spoiled(seed, count=300):
    """Return bars of two symbols, some of them wrong in every way."""
    random = np.random.default_rng(seed)
    market = np.concatenate([rows(moving(count, seed + s), symbol=s, bid=1.0) for s in (0, 1)])
    for name in ("open", "high", "close", "volume", "bid", "ask"):
        at = random.integers(0, len(market), 12)
        market[name][at] = random.choice([0.0, -1.0, math.nan, math.inf, 1.0, 130.0, 1e30], 12)
    market["ts"][random.integers(0, len(market), 12)] += random.integers(-5, 5, 12) * MINUTE
    return market


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_of_any_size_and_a_copied_state_give_the_same(size):
    market = spoiled(8)
    states = checks.states(2, interval=MINUTE, stale=3, far=3.0)
    whole = checks.check(market, states)
    parts, again = [], checks.states(2, interval=MINUTE, stale=3, far=3.0)
    for at in range(0, len(market), size):
        again = np.frombuffer(bytearray(again.tobytes()), again.dtype)
        parts.append(checks.check(market[at : at + size], again))
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert again.tobytes() == states.tobytes()
    assert {name for each in said(whole) for name in each} >= {"price", "gap", "range", "far-price", "back"}


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 599))
def test_what_comes_later_changes_nothing(seed, cut):
    market = spoiled(seed)
    whole = checks.check(market, checks.states(2, interval=MINUTE, far=3.0))
    early = checks.check(market[:cut], checks.states(2, interval=MINUTE, far=3.0))
    assert whole[:cut].tolist() == early.tolist()


def test_the_score_moves_by_a_500th_of_the_way():
    states = checks.states(2, interval=MINUTE)
    assert checks.score(states).tolist() == [1.0, 1.0]
    market = rows([100.0, 101.0, 102.0], bid=1.0)
    market["close"][1] = -1.0
    checks.check(market, states)  # clean, refused, and after a gap
    after = 1.0 - 1.0 / 500
    assert checks.score(states).tolist() == pytest.approx([after + (0.5 - after) / 500, 1.0], rel=1e-15)


# -- events -------------------------------------------------------------------------------------------


def events(*told):
    """Return events of one symbol: (kind, side, price, size) or with further fields in a dict."""
    made = np.zeros(len(told), EVENT)
    for n, (kind, side, price, size, *more) in enumerate(told):
        made[n]["ts"], made[n]["kind"], made[n]["side"] = 1_000 * (n + 1), kind, side
        made[n]["price"], made[n]["size"], made[n]["flags"] = price, size, LAST
        for name, value in (more[0] if more else {}).items():
            made[name][n] = value
    return made


def of_events(*told, **how):
    return said(checks.check(events(*told), checks.states(**how)))


def quote(bid, ask, size=1.0):
    return (QUOTE, BUY, bid, size, {"flags": 0}), (QUOTE, SELL, ask, size)


def test_trades_have_a_price_a_size_and_one_id():
    one = {"id": 7}
    assert of_events(
        (TRADE, BUY, 100.0, 1.0, one),
        (TRADE, BUY, 100.0, 1.0, one),
        (TRADE, SELL, 100.0, 1.0, one),
        (TRADE, BUY, 0.0, 1.0),
        (TRADE, BUY, math.nan, 1.0),
        (TRADE, BUY, 100.0, -1.0),
        (TRADE, BUY, 100.0, math.nan),
        (TRADE, BUY, 100.0, 1e19),
        (TRADE, BUY, 100.0, 1.0, {"ts": 5}),
        (TRADE, BUY, 100.0, 1.0, {"flags": LAST | BACK}),
    ) == [
        [],
        ["duplicate"],
        ["contradiction"],
        ["price"],
        ["price"],
        ["size"],
        [],
        ["size"],
        ["back"],
        ["late"],
    ]


def test_a_crossed_quote_is_refused_whole_and_the_one_before_it_stands():
    found = of_events(
        *quote(100.0, 101.0), *quote(102.0, 101.0), (QUOTE, SELL, 100.0, 1.0), *quote(100.0, 101.0)
    )
    assert found == [[], [], [], ["crossed"], ["locked"], [], []]


def test_quotes_that_do_not_change_are_stale():
    found = of_events(
        *quote(100.0, 101.0), *quote(100.0, 101.0), *quote(100.0, 101.0), *quote(100.0, 102.0), stale=3
    )
    assert found[5] == ["stale"]
    assert [each for n, each in enumerate(found) if n != 5] == [[]] * 7


def test_a_side_of_a_quote_may_be_empty_and_a_level_of_the_book_gone():
    assert of_events(*quote(math.nan, 101.0, 0.0), (LEVEL, BUY, 99.0, 0.0)) == [[], [], []]
    wrong = (QUOTE, BUY, math.nan, 3.0), (LEVEL, BUY, 99.0, math.nan), (LEVEL, BUY, math.nan, 0.0)
    assert of_events(*wrong) == [["price"], ["size"], ["price"]]


def test_events_that_come_after_a_long_silence():
    found = of_events((TRADE, BUY, 100.0, 1.0), (TRADE, BUY, 100.0, 1.0, {"ts": 9_000}), interval=5_000)
    assert found == [[], ["gap"]]


def test_faults_have_names_of_their_own_and_limits_are_checked():
    assert len(set(NAMES)) == len(NAMES)
    assert checks.names(checks.REFUSED) == [each.name for each in checks.FAULTS if each.refused]
    with pytest.raises(ConfigError, match=r"stael is no limit\. Did you mean stale"):
        checks.states(stael=3)
    with pytest.raises(ConfigError, match="window is at least 31"):
        checks.states(window=30)
