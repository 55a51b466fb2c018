"""What a strategy's signals were worth: pooled over markets, beside no skill, and as its table foretold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from attrs import asdict, frozen

from nexus_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_stats import Interval, Outcomes

    from nexus_app_data.playing import Played, Player
    from nexus_core.calibration import Table

Floats = npt.NDArray[np.float64]

CALIBRATED = 0.05
"""Expected calibration error up to which a table's chances are believed."""

TELLS = 1e-6
"""Brier skill that is more than rounding, where a table foretells its base rate for every score."""

_DRAWN = 20_000_000
"""Samples that a bootstrap may draw before it draws less often."""

_MOST, _LEAST = 1_000, 200
"""Draws of a bootstrap."""


@frozen(eq=False)
class Judged:
    """What became of the signals whose horizon ends within the split, in order of time."""

    outcomes: Outcomes
    """Its rows are times in nanoseconds; synthetic markets share no time, so one follows the other."""
    scores: Floats

    @property
    def gross(self) -> Floats:
        """Return the move in each signal's direction, before costs."""
        return self.outcomes.side * self.outcomes.move

    @property
    def right(self) -> Any:
        """Return whether price had moved the signal's way."""
        return self.gross > 0

    @property
    def independent(self) -> float:
        """Return how many independent outcomes they are worth."""
        from nexus_stats import effective

        return effective(self.outcomes.at, self.outcomes.to)


def judged(played: Sequence[Played], horizon: int, fee: float = 0.0) -> Judged:
    """Judge the signals of one strategy on its markets, pooled."""
    from nexus_stats import Outcomes, outcomes

    parts: list[tuple[Any, ...]] = []
    passed = 0
    for each in played:
        found, ts = outcomes(each.rows, each.signals, horizon, fee), each.rows["ts"]
        shift = 0
        if each.source.population != "real":  # one market after another
            shift = passed - int(ts[0]) + 1
            passed += int(ts[-1] - ts[0]) + 1
        at, to = ts[found.at] + shift, ts[found.to] + shift
        parts.append((at, to, found.side, found.move, found.cost, each.scored(found.at)))
    if not parts:
        none = np.zeros(0, np.int64)
        return Judged(Outcomes(none, none, none, np.zeros(0), np.zeros(0)), np.zeros(0))
    columns = [np.concatenate(each) for each in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    at, to, side, move, cost, scores = (each[order] for each in columns)
    return Judged(Outcomes(at, to, side, move, cost), scores)


def evaluated(player: Player, fee: float, table: Table | None) -> dict[str, Any]:
    """Return all figures of a strategy that was played."""
    from nexus_stats import turnover

    found = judged(player.played, int(player.strategy.horizon), fee)
    shown = [each.signals[each.first :] for each in player.played]
    rows, signals = sum(map(len, shown)), sum(int(np.count_nonzero(each)) for each in shown)
    turned = sum(turnover(each) * len(each) for each in shown)
    alone, hits = player.alone, _hits(found)
    return {
        "rows": rows,
        "signals": signals,
        "coverage": signals / rows if rows else None,
        "judged": len(found.scores),
        **hits,
        "move": _moves(found, fee),
        "turnover": turned / rows if rows else None,
        "warmup": int(player.strategy.warmup),
        "faults": sum(each.faults for each in player.played),
        "ns_a_row": {"blocks": player.block_ns, "alone": None if alone is None else alone * 1e9},
        **_foretold(found, table, hits["coin"]),
    }


def _hits(found: Judged) -> dict[str, Any]:
    """Return how often price moved the signals' way, beside always buying and a coin on the same rows."""
    from nexus_stats import Outcomes, hit_rates

    made: dict[str, Any] = dict.fromkeys(("independent", "hit", "long", "coin", "over_long", "over_coin"))
    if len(found.scores) < 2:
        return made
    told = found.outcomes
    free = Outcomes(told.at, told.to, told.side, told.move, np.zeros(len(told.at)))
    rates = hit_rates(free, draws=_draws(len(told.at)))
    return {
        "independent": rates.independent,
        "hit": asdict(rates.hit),
        "long": rates.long,
        "coin": rates.random,
        "over_long": asdict(rates.over_long),
        "over_coin": asdict(rates.over_random),
    }


def _moves(found: Judged, fee: float) -> dict[str, Any]:
    """Return the mean move after a signal in its direction, as fractions of the price."""
    made: dict[str, Any] = {"fee": fee, "gross": None, "net": None}
    if len(found.scores) >= 2:
        made |= {"gross": _mean(found, found.gross), "net": _mean(found, found.outcomes.net)}
    return made


def _mean(found: Judged, values: Floats) -> dict[str, float]:
    from nexus_stats import mean
    from nexus_stats.intervals import block_length, overlap_length

    length = max(block_length(values), overlap_length(found.outcomes.at, _horizon(found)))
    block = min(length, float(len(values)))
    return asdict(mean(values, draws=_draws(len(values)), block=block))


def _foretold(found: Judged, table: Table | None, coin: float | None) -> dict[str, Any]:
    """Return how good the chances were that the table foretold; a coin would have been right so often."""
    from nexus_stats import brier_skill, calibration_error, ece, reliability

    made: dict[str, Any] = dict.fromkeys(
        ("ece", "ece_debiased", "brier_skill", "over_coin_skill", "reliability")
    )
    if table is None:
        return {**made, "verdict": "uncalibrated"}
    if len(found.scores) < 2:
        return {**made, "verdict": "uninformative"}
    chances = chance(table, found.scores)
    draws = _draws(len(chances))
    how: dict[str, Any] = {"times": found.outcomes.at, "horizon": _horizon(found), "draws": draws}
    bins = reliability(chances, found.right)
    made["ece"] = ece(chances, found.right)
    made["ece_debiased"] = asdict(calibration_error(chances, found.right, **how))
    names = ("foretold", "seen", "low", "high", "count")
    made["reliability"] = {name: getattr(bins, name).tolist() for name in names}
    base = table.facts.get("base")
    skill = None if base is None else _skill(lambda: brier_skill(chances, found.right, base, **how))
    made["brier_skill"] = None if skill is None else asdict(skill)
    over = None if coin is None else _skill(lambda: brier_skill(chances, found.right, coin, **how))
    made["over_coin_skill"] = None if over is None else asdict(over)
    return {**made, "verdict": verdict(made["ece"], skill, over)}


def verdict(error: float, skill: Interval | None, over_coin: Interval | None = None) -> str:
    """Return whether a table's chances can be believed, and tell more than its base rate, or than a coin."""
    if error > CALIBRATED:
        return "uninformative"
    if skill is not None and skill.low > TELLS:
        return "informative"
    return "better than a coin" if over_coin is not None and over_coin.low > TELLS else "uninformative"


def chance(table: Table, scores: Floats) -> Floats:
    """Return the chance of being right that a table foretells for scores.

    It is rounded, so that what lies on a flat piece of the curve is equal, and counted together.
    """
    return np.round(np.interp(scores, table.facts["scores"], table.facts["p"]), 9)


def _skill(compute: Any) -> Interval | None:
    try:
        return compute()
    except DataError:  # the base rate foretold every outcome
        return None


def _horizon(found: Judged) -> float:
    return float((found.outcomes.to - found.outcomes.at).mean())


def _draws(size: int) -> int:
    return int(np.clip(_DRAWN // max(size, 1), _LEAST, _MOST))
