"""Orders and booking: legal steps, what an order's content is, and fills to the last unit."""

import random
import runpy
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.ledger import instrument_records
from nexus_core.ledger import orders as steps
from nexus_core.records import ACCOUNT, ORDER, POSITION, UNIT, empty
from nexus_core.types import ORDER_STEPS, Instrument, OrderState, to_units

BENCH = Path(__file__).resolve().parent.parent / "bench"
oracle = SimpleNamespace(**runpy.run_path(str(BENCH / "decimal_oracle.py")))


def run(text, bindings, *arguments):
    return compile.call(
        compile.entry("orders", text, {name: getattr(steps, name) for name in bindings}), *arguments
    )


# -- steps of an order ------------------------------------------------------------------------------

MOVE = """
def entry(orders, states, done):
    for i in range(states.size):
        done[i] = move(orders[i], states[i])
"""
PAIRS = [(old, new) for old in OrderState for new in OrderState]


def test_every_legal_step_is_taken_and_every_other_is_refused_and_changes_nothing():
    orders, done = empty(ORDER, len(PAIRS)), np.zeros(len(PAIRS), np.bool_)
    orders["state"], orders["qty"] = [old for old, _ in PAIRS], 7
    before = orders.copy()
    run(MOVE, ["move"], orders, np.array([new for _, new in PAIRS], np.int8), done)
    for n, (old, new) in enumerate(PAIRS):
        legal = new in ORDER_STEPS[old]
        assert (bool(done[n]), OrderState(orders["state"][n])) == (legal, new if legal else old)
        before["state"][n] = orders["state"][n]
    assert orders.tobytes() == before.tobytes()


def test_an_order_may_fill_until_it_has_ended():
    text = (
        "def entry(states, out):\n    for i in range(states.size):\n        out[i] = is_working(states[i])\n"
    )
    states, out = np.array(list(OrderState), np.int8), np.zeros(len(OrderState), np.bool_)
    run(text, ["is_working"], states, out)
    assert [state.name for state, works in zip(OrderState, out, strict=True) if works] == [
        "PENDING", "SUBMITTED", "OPEN", "PARTIALLY_FILLED", "UNKNOWN",
    ]  # fmt: skip


# -- content ----------------------------------------------------------------------------------------

CONTENT = "def entry(orders, out):\n    for i in range(out.size):\n        out[i] = content(orders[i])\n"
SAID = {
    "id": 12, "ts": 1_772_373_900_000_000_000, "decision": 1_772_373_840_000_000_000, "qty": 150_000_000,
    "price": 10_050_000_000, "stop": 9_849_000_000, "target": 10_452_000_000, "symbol": 3, "side": 1,
    "kind": 0, "purpose": 0,
}  # fmt: skip
GOLDEN = 6_083_104_787_498_066_903
UNSAID = {"filled": 1, "cost": 5, "content": 77, "state": 4}


def contents(*orders):
    """Return the content hash of orders given as fields."""
    records, out = empty(ORDER, len(orders)), np.zeros(len(orders), np.uint64)
    for record, fields in zip(records, orders, strict=True):
        for name, value in fields.items():
            record[name] = value
    run(CONTENT, ["content"], records, out)
    return out.tolist()


def test_the_hash_of_a_content_stays_what_journals_hold():
    mask, odd, last, x = 2**64 - 1, 0x9E3779B97F4A7C15, 0xFF51AFD7ED558CCD, 0
    for name in ("id", "ts", "decision", "qty", "price", "stop", "target"):
        x = ((x ^ SAID[name]) * odd) & mask
        x ^= x >> 32
    small = ((SAID["symbol"] * 4 + SAID["side"]) * 8 + SAID["kind"]) * 8 + SAID["purpose"]
    x = ((x ^ small) * last) & mask
    assert contents(SAID, SAID | {"symbol": 0, "side": -1}) == [x ^ (x >> 33), GOLDEN]


def test_a_change_of_any_bit_of_what_an_order_says_is_another_hash():
    changed = [SAID]
    for name in ("id", "ts", "decision", "qty", "price", "stop", "target"):
        changed += [SAID | {name: SAID[name] ^ 1 << bit} for bit in range(63)]
    changed += [SAID | {"symbol": symbol} for symbol in range(64) if symbol != SAID["symbol"]]
    changed += [SAID | {"side": -1}, *(SAID | {"kind": kind} for kind in (1, 2))]
    changed += [SAID | {"purpose": purpose} for purpose in (1, 2, 3)]
    assert len(set(contents(*changed))) == len(changed)


def test_symbol_side_kind_and_purpose_do_not_run_into_each_other():
    every = [
        SAID | {"symbol": symbol, "side": side, "kind": kind, "purpose": purpose}
        for symbol in range(20) for side in (-1, 1) for kind in range(3) for purpose in range(4)
    ]  # fmt: skip
    assert len(set(contents(*every))) == len(every)


def test_what_becomes_of_an_order_is_not_its_content():
    assert len(set(contents(SAID, *(SAID | {name: value} for name, value in UNSAID.items())))) == 1


@given(st.sampled_from(sorted(SAID)), st.data())
def test_another_value_in_any_field_is_another_content(name, data):
    wide = st.integers(-(2**63), 2**63 - 1)
    narrow = {"symbol": st.integers(0, 2**20), "side": st.sampled_from((-1, 1)), "kind": st.integers(0, 2)}
    values = narrow.get(name, st.integers(0, 3) if name == "purpose" else wide)
    base = {
        each: data.draw(narrow.get(each, st.integers(0, 3) if each == "purpose" else wide)) for each in SAID
    }
    other = base | {name: data.draw(values.filter(lambda value: value != base[name]))}
    one, two = contents(base, other)
    assert one != two


# -- booking by hand --------------------------------------------------------------------------------

COIN = Instrument("COIN-USD", margin_rate=Decimal("0.5"))
FUTURE = Instrument("FUTURE-USD", multiplier=50, margin_rate=Decimal("0.1"))
CAPITAL = 100_000 * UNIT


def booked(*fills, instruments=(COIN,), cash=CAPITAL):
    """Book fills (side, quantity, price, fee[, symbol]), stamped 1, 2, 3, … in this order."""
    made = np.zeros(len(fills), oracle.FILL)
    for n, (side, qty, price, fee, *symbol) in enumerate(fills):
        made[n] = (*(symbol or [0]), side, to_units(qty), to_units(price), to_units(fee), n + 1)
    return oracle.book_all(made, instrument_records(instruments), cash)


def whole(record, *names):
    return [float(record[name]) / UNIT for name in names]


LIFE = (
    (1, "10", "100", "1"),
    (1, "5", "110", "0.55"),  # adds
    (-1, "6", "120", "0.72"),  # closes 6 of 15, which cost 620
    (-1, "14", "90", "1.26"),  # closes 9, which cost 930, for 810, and sells 5 short for 450
    (1, "5", "80", "0.4"),  # buys back for 400
)


@pytest.mark.parametrize(
    ("fills", "cash", "value", "realised", "fees", "margin", "qty", "cost", "trades", "wins", "opened"),
    [
        (1, 98_999.0, 1_000.0, 0.0, 1.0, 500.0, 10.0, 1_000.0, 0, 0, 1),
        (2, 98_448.45, 1_650.0, 0.0, 1.55, 775.0, 15.0, 1_550.0, 0, 0, 1),
        (3, 99_167.73, 1_080.0, 100.0, 2.27, 465.0, 9.0, 930.0, 0, 0, 1),
        (4, 100_426.47, -450.0, -20.0, 3.53, 225.0, -5.0, -450.0, 1, 0, 4),
        (5, 100_026.07, 0.0, 30.0, 3.93, 0.0, 0.0, 0.0, 2, 1, 4),
    ],
)
def test_the_life_of_a_position_by_hand(
    fills, cash, value, realised, fees, margin, qty, cost, trades, wins, opened
):
    account, positions, states = booked(*LIFE[:fills])
    assert whole(account[0], "cash", "value", "realised", "fees", "margin") == [
        cash,
        value,
        realised,
        fees,
        margin,
    ]
    assert whole(positions[0], "qty", "cost", "value", "realised", "fees", "margin") == [
        qty, cost, value, realised, fees, margin,
    ]  # fmt: skip
    assert [account["trades"][0], account["wins"][0], positions["opened"][0]] == [trades, wins, opened]
    assert account["fills"][0] == fills
    assert states["booked"].all()
    assert account["hour_loss"][0] == account["realised"][0] - account["fees"][0]


def test_a_mirrored_life_has_the_mirrored_result():
    mirrored = [(-side, *rest) for side, *rest in LIFE]
    one, other = booked(*LIFE)[0][0], booked(*mirrored)[0][0]
    assert (one["realised"], one["fees"]) == (-other["realised"], other["fees"])
    assert one["cash"] + other["cash"] == 2 * (CAPITAL - one["fees"])


def test_the_fee_of_the_fill_that_turns_a_position_belongs_to_the_closed_trade():
    # bought at 100, sold at 101: 1 won, 0.4 + 0.7 paid, so the trade lost
    account, positions, _ = booked((1, "1", "100", "0.4"), (-1, "2", "101", "0.7"))
    assert [account["trades"][0], account["wins"][0]] == [1, 0]
    assert positions["trade"][0] == 0
    account, _, _ = booked((1, "1", "100", "0.4"), (-1, "2", "101", "0.6"))
    assert [account["trades"][0], account["wins"][0]] == [1, 0]  # 1 won, 1 paid: no win
    account, _, _ = booked((1, "1", "100", "0.4"), (-1, "2", "101", "0.59999999"))
    assert account["wins"][0] == 1


def test_a_multiplier_counts_in_notional_value_and_margin():
    account, _, _ = booked((-1, "3", "4000.25", "7.5"), instruments=(FUTURE,))
    # 3 x 4000.25 x 50 = 600,037.50
    assert whole(account[0], "cash", "value", "margin") == [700_030.0, -600_037.5, 60_003.75]


def test_each_amount_is_rounded_once_half_to_even():
    # 3 units of quantity at 1.00 cost 3 units; one of them at 1.50 brings 1.5 units, so 2; it cost 1
    account, positions, _ = booked((1, "0.00000003", "1", "0"), (-1, "0.00000001", "1.5", "0"))
    assert [account["cash"][0] - CAPITAL, account["realised"][0], positions["cost"][0]] == [-1, 1, 2]
    # at 2.50 it brings 2.5 units, so 2 again
    account, positions, _ = booked((1, "0.00000003", "1", "0"), (-1, "0.00000001", "2.5", "0"))
    assert [account["cash"][0] - CAPITAL, account["realised"][0], positions["cost"][0]] == [-1, 1, 2]
    # a third of a cost of 100 units is 33; two thirds of what is left after it are 45 (44.67)
    account, positions, states = booked(
        (1, "0.00000003", "33.333333333", "0"), (-1, "0.00000001", "1", "0"), (-1, "0.00000001", "1", "0")
    )
    assert states["cost"].tolist() == [100, 67, 33]  # half of 67 is 33.5, to the even 34
    assert account["realised"][0] == (1 - 33) + (1 - 34)


def test_two_symbols_share_the_cash_and_nothing_else():
    account, positions, _ = booked(
        (1, "1", "100", "0"), (-1, "2", "10", "0", 1), (-1, "1", "90", "0"), instruments=(COIN, FUTURE)
    )
    assert whole(account[0], "cash", "value", "realised") == [100_000 - 100 + 1_000 + 90, -1_000.0, -10.0]
    assert positions["qty"].tolist() == [0, -2 * UNIT]
    assert positions["realised"].tolist() == [-10 * UNIT, 0]


# -- what can be held -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("qty", "price", "cash", "held"),
    [
        ("1", "45000000000", "0", True),  # twice 4.5e18 is under 9.2e18
        ("1", "46000000000.1", "0", False),
        ("1", "1000000000", "90000000000", False),
        ("1", "1000000000", "89999999999", True),
        ("1", "1000000000", "-90000000000", False),
        ("45000000000", "1", "0", True),
        ("46000000000.1", "1", "0", False),
        ("90000000000", "0.1", "0", True),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_is_booked_only_if_its_amounts_can_be_held(side, qty, price, cash, held):
    account, positions, states = booked((side, qty, price, "0"), cash=to_units(cash))
    assert states["booked"].tolist() == [held]
    if not held:
        untouched = empty(ACCOUNT)
        untouched["cash"] = to_units(cash)
        assert account.tobytes() == untouched.tobytes()
        assert positions.tobytes() == empty(POSITION).tobytes()


def test_a_quantity_whose_multiple_would_wrap_around_is_not_booked():
    wide = Instrument("WIDE-USD", multiplier=2**24)
    _, _, states = booked((1, from_units_text(2**40), "1", "0"), instruments=(wide,))
    assert states["booked"].tolist() == [0]


def from_units_text(units):
    return str(Decimal(units) / UNIT)


def test_a_fee_is_counted_where_it_is_larger_than_the_notional():
    assert booked((1, "1", "1", "91000000000"))[2]["booked"].tolist() == [1]
    assert booked((1, "1", "1", "91999999999"))[2]["booked"].tolist() == [0]
    assert booked((1, "1", "1", "-91999999999"))[2]["booked"].tolist() == [0]


def test_a_position_is_not_added_to_beyond_what_can_be_held():
    long_short = [
        (1, "1", "10000000000", "0"),
        (-1, "1", "10000000000", "0", 1),
    ]  # the cash stays where it was
    # the price is another at the end: one more for 3e9 is too much as well, for 1e9 it is not
    more = ((1, "1", "3000000000", "0"), (1, "1", "1000000000", "0"))
    _, positions, states = booked(*long_short * 10, *more, instruments=(COIN, COIN))
    assert states["booked"].tolist() == [1] * 18 + [0, 0, 0, 1]
    assert positions["cost"].tolist() == [91 * 10**17, -90 * 10**17]
    _, positions, states = booked(*[(1, "50000000000", "0.00000001", "0")] * 2)
    assert states["booked"].tolist() == [1, 0]


# -- random fills against the slow ledger -----------------------------------------------------------


def test_random_fills_agree_with_a_ledger_in_decimals_to_the_last_unit():
    count = 30_000 if compile.JIT else 600
    assert oracle.compare(count, seed=3) == (count, 0)


def amounts(slow, symbol, side, qty, price, fee):
    """Return the largest amount that a fill would need, in units, exactly."""
    size, held = oracle.INSTRUMENTS[symbol].multiplier, oracle.as_units(slow.held[symbol])
    notional, after = price * qty * size / UNIT, abs(held + side * qty)
    cost = abs(oracle.as_units(slow.cost[symbol]))
    cash = abs(oracle.as_units(slow.cash)) + abs(oracle.as_units(sum(slow.value)))
    return max(
        max(qty, after) * size, notional + cost, price * after * size / UNIT,
        cash + notional + max(notional, abs(fee)),
    )  # fmt: skip


def test_fills_of_any_size_are_exact_or_refused():
    rng, slow = random.Random(11), oracle.SlowLedger()
    account, positions = empty(ACCOUNT), empty(POSITION, len(oracle.INSTRUMENTS))
    account["cash"] = oracle.CAPITAL
    instruments, fills, states = (
        instrument_records(oracle.INSTRUMENTS),
        np.zeros(1, oracle.FILL),
        np.zeros(1, oracle.STATE),
    )
    refused = 0
    for ts in range(2_000 if compile.JIT else 1_000):
        symbol, side = rng.randrange(len(oracle.INSTRUMENTS)), rng.choice((-1, 1))
        qty = rng.getrandbits(rng.randint(1, 63)) or 1
        price = rng.getrandbits(rng.randint(1, 63)) or 1
        held = abs(oracle.as_units(slow.held[symbol]))
        if held and rng.random() < 0.5:
            side, qty = (-1 if slow.held[symbol] > 0 else 1), rng.choice((held, max(1, held // 3)))
        fee = rng.choice((-1, 1)) * rng.getrandbits(rng.randint(1, 63))
        fills[0] = fill = (symbol, side, qty, price, fee, ts)
        largest = amounts(slow, *fill[:5])
        compile.call(oracle.booking(), account, positions, instruments, fills, states)
        if states["booked"][0]:
            assert states[0].item() == slow.fill(*fill)
            assert largest < 9.21e18
        else:
            refused += 1
            assert largest > 9.19e18
    assert 0 < refused < ts


# -- instruments ------------------------------------------------------------------------------------


def test_what_the_ledger_cannot_trade_is_refused():
    with pytest.raises(
        ConfigError, match=r"^X-USD: inverse contracts cannot be traded\. Choose a linear one\.$"
    ):
        instrument_records([Instrument("X-USD", inverse=True)])
    with pytest.raises(ConfigError, match=r"^X-USD: per was 1000, must be 1\. Quote the price of one\.$"):
        instrument_records([Instrument("X-USD", per=1000)])


def test_an_instrument_as_steps_read_it():
    made = instrument_records(
        [
            Instrument(
                "X-USD",
                tick="0.5",
                lot="0.001",
                min_notional=10,
                multiplier=5,
                margin_rate="0.25",
                shortable=False,
            )
        ]
    )
    assert made[0].item() == (50_000_000, 100_000, 10 * UNIT, 5, 25_000_000, 0)
