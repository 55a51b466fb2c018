"""What the truth says was planted is there, measured on the events, and decoys are like it at first."""

import hashlib
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from nexus_synthetic import KINDS, PLANTED, RANGES, START, Flow

from nexus_core import compile
from nexus_core.errors import ConfigError
from nexus_core.market.events import BUY, LEVEL, LIQUIDATION, TRADE

compiled = pytest.mark.skipif(not compile.JIT, reason="NEXUS_JIT=0: too slow as plain Python")

SECOND, HOUR, DAY = 10**9, 3600 * 10**9, 86_400 * 10**9
DAYS, RATE, SEEDS = 2, 60.0, (1, 2, 3, 4, 5, 6)
SLOW = KINDS[10:16]
NUMBER = {name: number for number, name in enumerate(KINDS)}


class Sown:
    """Some days of a market with plants: its trades, the level changes, its seconds, and what was planted."""

    def __init__(self, seed):
        flow = Flow(seed, 1, plants=True, rate=RATE)
        events, _, self.hidden = flow.take_with_truth(1440 * DAYS)
        self.trades = events[events["kind"] == TRADE]
        self.levels = events[events["kind"] == LEVEL]
        self.planted = flow.planted

    def between(self, what, start, end):
        first, last = np.searchsorted(what["ts"], (start, end))
        return what[first:last]

    def efficient(self, ts):
        at = np.searchsorted(self.hidden["ts"], ts)
        return float(self.hidden["efficient"][min(at, len(self.hidden) - 1)])

    def minute(self, ts):
        """Volatility of a minute, as a price."""
        at = max(int(np.searchsorted(self.hidden["ts"], ts)) - 1, 0)
        return float(self.hidden["volatility"][at] * self.hidden["efficient"][at]) * 60**0.5


sown = cache(Sown)


def plants(name, decoy):
    """Each plant of a kind with the market it is in."""
    for seed in SEEDS:
        field = sown(seed)
        for plant in field.planted:
            if plant["kind"] == NUMBER[name] and plant["decoy"] == decoy:
                yield field, plant


def move(field, plant, start, end):
    """Move of the efficient price to the plant's side, in volatilities of a minute."""
    way = field.efficient(plant[end]) - field.efficient(plant[start])
    return plant["side"] * way / field.minute(plant["start"])


# -- when, how many, how large ----------------------------------------------------------------------


@compiled
def test_plants_begin_at_the_rate_and_one_at_a_time():
    waits = []
    for seed in SEEDS:
        planted = sown(seed).planted
        wait = (planted["start"][1:] - planted["end"][:-1]) / 1e9
        assert (wait > 0).all()
        hour = planted["end"][:-1] % DAY / HOUR
        waits.append(wait[hour < 22.5])  # late in the day a wait may be drawn again
    waits = np.concatenate(waits)
    mean = 3600 / RATE
    assert waits.mean() == pytest.approx(mean, abs=4 * mean / np.sqrt(len(waits)))
    assert np.median(waits) == pytest.approx(mean * np.log(2), rel=0.15)  # exponential


@compiled
def test_there_are_as_many_decoys_as_plants_and_as_many_of_each_side():
    every = np.concatenate([sown(seed).planted for seed in SEEDS])
    error = 4 * 0.5 / np.sqrt(len(every))
    assert every["decoy"].mean() == pytest.approx(0.5, abs=error)
    assert (every["side"] == BUY).mean() == pytest.approx(0.5, abs=error)
    counts = np.bincount(every["kind"], minlength=17)
    quick = counts[1:10].sum() / (counts.sum() - counts[16])
    assert quick == pytest.approx(0.75, abs=0.05)
    assert counts[0] == 0
    assert (counts[1:10] > 0.7 * counts[1:10].mean()).all()
    assert (counts[10:16] > 5).all()


@compiled
def test_each_day_opens_with_a_drive_or_a_decoy_of_one():
    for seed in SEEDS:
        drives = sown(seed).planted
        drives = drives[drives["kind"] == NUMBER["drive"]]
        assert ((drives["start"] - START) // DAY).tolist() == list(range(DAYS))
        assert (drives["start"] % DAY == 1).all()


@compiled
def test_numbers_lie_in_the_ranges_and_reach_both_ends():
    every = np.concatenate([sown(seed).planted for seed in SEEDS])
    for kind in range(1, 10):
        own = every[every["kind"] == kind]
        for name, at in (("size", 0), ("distance", 2), ("move", 6)):
            low, high = RANGES[kind, at : at + 2]
            assert (own[name] >= low * 0.999).all()
            assert (own[name] <= high * 1.001).all()
            if high > low:  # evenly in the logarithm
                middle = np.log(own[name] / low).mean() / np.log(high / low)
                assert middle == pytest.approx(0.5, abs=4 * 0.29 / np.sqrt(len(own)))
        assert ((own["turn"] > own["start"]) & (own["end"] > own["turn"])).all()


# -- what is seen of them ---------------------------------------------------------------------------


def size_at(field, plant, ts):
    """Size that rests at the plant's price at a time, as the levels told it."""
    told = field.levels[: np.searchsorted(field.levels["ts"], ts, "right")][-200_000:]
    own = told[told["price"] == plant["price"]]
    return float(own["size"][-1]) if len(own) else 0.0


def traded_at(field, plant, side):
    """Size that aggressors of a side traded at the plant's price before its turn."""
    trades = field.between(field.trades, plant["start"], plant["turn"])
    return float(trades["size"][(trades["price"] == plant["price"]) & (trades["side"] == side)].sum())


LOT = 0.001  # of symbol 0
LIMIT = 60 * LOT


@compiled
def test_a_spoof_shows_its_size_and_goes_untraded_where_an_honest_order_is_met():
    met = {}
    for decoy in (0, 1):
        large = [(f, p) for f, p in plants("spoof", decoy) if p["size"] > 2]
        assert len(large) > 30
        traded, shown = 0.0, 0.0
        for field, plant in large:
            size = np.floor(plant["size"] * 60) * LOT
            assert size_at(field, plant, plant["start"] + 1) >= size * 0.999
            shown += size
            traded += min(traded_at(field, plant, plant["side"]), size)
        met[decoy] = traded / shown
    assert met[0] < 0.1
    assert met[1] > 2.0 * met[0]


@compiled
@pytest.mark.parametrize("name", ["iceberg", "absorption"])
def test_a_refilled_level_trades_more_than_it_shows(name):
    eaten = {}
    for decoy in (0, 1):
        ratios = [
            traded_at(field, plant, -plant["side"]) / max(plant["size"] * LIMIT, LOT)
            for field, plant in plants(name, decoy)
        ]
        eaten[decoy] = np.array(ratios)
    assert (eaten[0] > 1.5).mean() > 0.5
    assert eaten[0].mean() > 2.0 * eaten[1].mean()


@compiled
def test_an_imbalance_rests_at_its_price():
    for decoy in (0, 1):  # both show it; only what follows differs
        for field, plant in plants("imbalance", decoy):
            at = (plant["start"] + plant["turn"]) // 2
            assert size_at(field, plant, at) > 0.0 or traded_at(field, plant, -plant["side"]) > 0.0


def flow(field, plant, start="start", end="turn"):
    """Trades a second and signed share of the number of trades, to the plant's side."""
    trades = field.between(field.trades, plant[start], plant[end])
    seconds = (plant[end] - plant[start]) / 1e9
    return len(trades) / seconds, float(plant["side"] * trades["side"].sum()) / max(len(trades), 1)


@compiled
def test_a_cascade_is_forced_one_sided_and_moves_the_price_and_a_large_print_does_not():
    for field, plant in plants("cascade", 0):
        trades = field.between(field.trades, plant["start"], plant["turn"])
        forced = trades[(trades["flags"] & LIQUIDATION) > 0]
        assert (forced["side"] == plant["side"]).all()
    moves = {d: np.array([move(f, p, "start", "turn") for f, p in plants("cascade", d)]) for d in (0, 1)}
    stated = np.array([p["distance"] for _, p in plants("cascade", 0)])
    assert np.corrcoef(moves[0], stated)[0, 1] > 0.7
    assert moves[0].mean() == pytest.approx(stated.mean(), rel=0.25)
    assert abs(moves[1].mean()) < 0.4
    everywhere = sum(((sown(seed).trades["flags"] & LIQUIDATION) > 0).sum() for seed in SEEDS)
    inside = sum(
        ((f.between(f.trades, p["start"], p["turn"] + SECOND)["flags"] & LIQUIDATION) > 0).sum()
        for d in (0, 1)
        for f, p in plants("cascade", d)
    )
    assert everywhere == inside > 0


@compiled
def test_bursts_are_one_sided_and_dense():
    usual = 0.75  # trades a second where nothing is planted
    for name, density, share in (("ignition", 4.0, 0.4), ("informed", 1.5, 0.3), ("run", 1.5, 0.25)):
        seen = np.array([flow(field, plant) for field, plant in plants(name, 0)])
        assert seen[:, 0].mean() > density * usual, name
        assert seen[:, 1].mean() > share, name
    sides = [flow(field, plant)[1] for field, plant in plants("ignition", 1)]
    assert abs(np.mean(sides)) < 0.1  # a decoy of it is dense, but of no side


# what follows the turn: to the side of the plant, or for two kinds, which have run their course, against it
AFTER = [
    ("spoof", 1), ("iceberg", 1), ("absorption", 1), ("imbalance", 1), ("cascade", -1), ("ignition", -1),
    ("stop-run", 1), ("informed", 1), ("run", 1), ("break", 1), ("failed-break", 1), ("travel", 1),
]  # fmt: skip


@compiled
@pytest.mark.parametrize(("name", "way"), AFTER)
def test_what_follows_the_turn_is_what_tells_a_plant_from_a_decoy(name, way):
    real, decoy = (np.array([way * move(f, p, "turn", "end") for f, p in plants(name, d)]) for d in (0, 1))
    error = np.sqrt(real.var() / len(real) + decoy.var() / len(decoy))
    assert real.mean() - decoy.mean() > 2.0 * error
    if name not in ("failed-break", "travel"):  # these go back over their distance too
        stated = np.mean([p["move"] for _, p in plants(name, 0)])
        assert real.mean() == pytest.approx(stated, abs=4.0 * real.std() / np.sqrt(len(real)) + 0.15)


@compiled
@pytest.mark.parametrize("name", ["stop-run", "break", "failed-break"])
def test_a_break_goes_beyond_the_extreme_of_the_minutes_before(name):
    beyond = []
    for decoy in (0, 1):
        for field, plant in plants(name, decoy):
            side = plant["side"] * (1 if name == "break" else -1)
            before = field.between(field.trades, plant["start"] - 18 * 60 * SECOND, plant["start"])
            during = field.between(field.trades, plant["start"], plant["turn"] + 5 * SECOND)
            if len(before) and len(during):
                beyond.append((side * during["price"]).max() > (side * before["price"]).max())
    assert np.mean(beyond) > 0.7  # the weakest hardly go beyond it


# -- the same market --------------------------------------------------------------------------------


FROZEN = (
    "bd52dca4b9be5e3846e210ed342cd9a32e81ca3716861da0f8fad777b60c8825"  # three hours, and what was planted
)
FROZEN_SHORT = "1b03d429e9c8f4b9d97a0a303064478c41fb0d73c845f66923a7145bf75b0e65"  # 150 seconds


def test_the_law_of_plants_is_frozen():
    flow = Flow(seed=7, symbols=1, interval=SECOND, plants=True, rate=60.0)
    events, _ = flow.take(10_800 if compile.JIT else 150)
    digest = hashlib.sha256(events.tobytes() + flow.planted.tobytes()).hexdigest()
    assert digest == (FROZEN if compile.JIT else FROZEN_SHORT)


def test_plants_do_not_depend_on_how_they_are_asked_for():
    span = 600 if compile.JIT else 60
    whole = Flow(7, 1, interval=SECOND, plants=True, rate=60.0)
    events, _ = whole.take(span)
    parts = Flow(7, 1, interval=SECOND, plants=True, rate=60.0)
    pieces = [parts.take(n)[0] for n in (1, 7, 0, span - 48, 40)]
    assert np.concatenate(pieces).tobytes() == events.tobytes()
    assert parts.planted.tobytes() == whole.planted.tobytes()
    unseen = Flow(7, 1, interval=SECOND, plants=True, rate=60.0)
    unseen.skip(span)
    assert unseen.planted.tobytes() == whole.planted.tobytes()


def test_what_is_remembered_are_flat_records_that_can_be_copied():
    span = 300 if compile.JIT else 40
    one = Flow(7, 2, interval=SECOND, plants=True, rate=60.0)
    one.take(span)
    other = Flow(7, 2, interval=SECOND, plants=True, rate=60.0)
    for name in ("_market", "_states", "_plants"):
        saved = getattr(one, name).tobytes()
        own = getattr(other, name)
        own[:] = np.frombuffer(saved, own.dtype)
    assert other.take(span)[0].tobytes() == one.take(span)[0].tobytes()


def test_plants_of_a_symbol_do_not_depend_on_how_many_there_are():
    span = 600 if compile.JIT else 60
    both = Flow(7, 2, interval=SECOND, plants=True, rate=60.0)
    events, starts = both.take(span)
    one = Flow(7, 1, interval=SECOND, plants=True, rate=60.0)
    alone, _ = one.take(span)
    for name in ("ts", "price", "size", "kind", "side", "flags", "id"):
        assert (events[name][: starts[1]] == alone[name]).all()
    planted = both.planted
    assert planted[planted["symbol"] == 0].tobytes() == one.planted.tobytes()
    assert planted.dtype == PLANTED


def test_without_plants_there_are_none():
    flow = Flow(7, 1)
    flow.take(2)
    assert len(flow.planted) == 0
    assert Flow(7, 1).take(1)[0].tobytes() == Flow(7, 1, plants=False, rate=60.0).take(1)[0].tobytes()


def test_compiled_and_plain_give_the_same_bits():
    code = (
        "import sys, nexus_synthetic as n;"
        "flow = n.Flow(7, 1, interval=10**9, plants=True, rate=60.0);"
        "events, _ = flow.take(150);"
        "sys.stdout.buffer.write(events.tobytes() + flow.planted.tobytes())"
    )
    other = {**os.environ, "NEXUS_JIT": "0" if compile.JIT else "1"}
    done = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, check=True)
    flow = Flow(7, 1, interval=SECOND, plants=True, rate=60.0)
    events, _ = flow.take(150)
    assert done.stdout == events.tobytes() + flow.planted.tobytes()


# -- chosen kinds and chosen numbers ----------------------------------------------------------------


def chosen(minutes=600, **options):
    flow = Flow(3, 1, plants=True, rate=60.0, **options)
    flow.take(minutes)
    return flow.planted


@compiled
@pytest.mark.parametrize("kinds", [("spoof",), ("cascade", "failed-break"), ("drive", "run")])
def test_only_the_kinds_that_were_chosen_are_planted(kinds):
    found = {KINDS[kind] for kind in chosen(kinds=kinds)["kind"]}
    assert found == set(kinds)


@compiled
def test_the_drive_alone_comes_once_a_day():
    planted = chosen(2 * 1440, kinds=("drive",))
    assert [KINDS[kind] for kind in planted["kind"]] == ["drive", "drive"]
    assert np.diff(planted["start"]).tolist() == [DAY]


@compiled
@pytest.mark.parametrize("ease", [0.0, 0.5, 1.0])
def test_ease_puts_the_numbers_at_one_place_of_their_ranges(ease):
    for plant in chosen(300, kinds=("iceberg",), ease=ease):
        for at, name in ((0, "size"), (2, "distance"), (6, "move")):
            low, high = RANGES[NUMBER["iceberg"], at : at + 2]
            assert plant[name] == pytest.approx(low * (high / low) ** ease)


@compiled
def test_what_is_not_chosen_is_drawn_as_ever():
    assert chosen().tobytes() == chosen(kinds=(), ease=None).tobytes()


def test_a_kind_that_does_not_exist_and_an_ease_beyond_1_are_refused():
    with pytest.raises(ConfigError, match=r"iceburg is no kind of plant\. Did you mean iceberg"):
        Flow(1, 1, plants=True, kinds=("iceburg",))
    with pytest.raises(ConfigError, match=r"ease was 1\.5; it is from 0 to 1"):
        Flow(1, 1, plants=True, ease=1.5)
