"""What a change of the book changed, against levels kept in a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_core import compile
from nexus_core.market.book import book, depth
from nexus_core.market.events import BREAK, BUY, CLEAR, EVENT, LAST, LEVEL, SELL, SNAPSHOT, TRADE

PLAY = compile.entry(
    "book_changes",
    """
def entry(events, states, changes):
    for i in range(events.size):
        push(states[0], events[i])
        changes[i] = states[0].change
""",
    {"push": depth.push},
)

Said = tuple[int, int, float, float, int]
CHANGES = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 400), st.integers(0, 3)), min_size=1, max_size=60
)


def events(*said: Said):
    made = np.zeros(len(said), EVENT)
    for one, (kind, side, price, size, flags) in zip(made, said, strict=True):
        one["kind"], one["side"], one["price"], one["size"], one["flags"] = kind, side, price, size, flags
    return made


def changes(*said: Said, tick: str = "0.5") -> list[float]:
    told, states = np.zeros(len(said)), np.array([book(tick, window=64, beyond=1024)])
    compile.call(PLAY, events(*said), states, told)
    return told.tolist()


BEGUN = [(CLEAR, 0, 0.0, 0.0, SNAPSHOT), (LEVEL, BUY, 100.0, 2.0, SNAPSHOT),
         (LEVEL, SELL, 101.0, 3.0, SNAPSHOT | LAST)]  # fmt: skip


@pytest.mark.parametrize("tick", ["0.5", "0"])
def test_it_is_the_new_size_less_the_one_before(tick):
    said = [(LEVEL, BUY, 100.0, 5.0, LAST), (LEVEL, BUY, 100.0, 0.0, LAST), (LEVEL, SELL, 101.0, 1.0, LAST),
            (LEVEL, SELL, 400.0, 7.0, LAST), (LEVEL, SELL, 400.0, 4.0, LAST)]  # fmt: skip
    assert changes(*BEGUN, *said, tick=tick) == [0.0, 0.0, 0.0, 3.0, -5.0, -2.0, 7.0, -3.0]


def test_it_is_zero_where_nothing_was_applied():
    off_grid, lost = (LEVEL, BUY, 100.3, 5.0, LAST), (BREAK, 0, 0.0, 0.0, LAST)
    unseen = (LEVEL, BUY, 100.0, 9.0, LAST)
    assert changes(*BEGUN, unseen, off_grid, lost, unseen) == [0.0, 0.0, 0.0, 7.0, 0.0, 0.0, 0.0]


def test_a_trade_leaves_it_as_it_was():
    assert changes(*BEGUN, (LEVEL, BUY, 100.0, 5.0, LAST), (TRADE, SELL, 100.0, 5.0, LAST))[-1] == 3.0


@pytest.mark.parametrize("tick", ["0.5", "0"])
@given(made=CHANGES)
@settings(max_examples=40, deadline=None)
def test_changes_add_up_to_what_is_displayed(tick, made):
    levels, wanted = {(BUY, 100.0): 2.0, (SELL, 101.0): 3.0}, [0.0, 0.0, 0.0]
    said = list(BEGUN)
    for side, ticks, size in made:
        price = ticks / 2
        said.append((LEVEL, side, price, float(size), LAST))
        wanted.append(size - levels.get((side, price), 0.0))
        levels[side, price] = float(size)
    assert changes(*said, tick=tick) == wanted
