"""Classify how a session opens: go with a drive that goes on, against one that is turned back.

The opening types are those of Dalton, Jones and Dalton (1990), *Mind over markets*: *open-drive* (one way
from the first trade), *open-test-drive* (one way after a look the other way), *open-rejection-reverse* (one
way, and then back), *open-auction* (no way at all). Which it is shows after the opening range: either the
side that drove it goes on to trade at market, or the other one takes over. After Dalton that is initiative or
responsive activity. It is measured by the signed volume since the opening range, of one side less the other.
Where the feed knows no signed volume, it is estimated from how far price has gone since, in usual moves of as
many rows: four of them count as all of the volume on one side.

All of it lives in price space: prices turned over, p -> 2 p0 - p, give the negated signals.
"""

from __future__ import annotations

import math

from nexus_core import compile, steps
from nexus_core.strategy import Param, Strategy

ESTIMATE = 4.0
"""Usual moves, of as many rows as it took, that count as all of the volume on one side."""
DRIVE, FADE = 5.0, 3.0
"""What a lead is worth with the opening and against it: after Dalton the drive shows the most conviction."""


@compile.step
def lean(state, close, usual):
    """Return the share of the volume by which buyers lead since `mark`, below 0 where sellers do."""
    if state.unsigned == 0:
        return state.delta / state.volume if state.volume > 0.0 else 0.0
    reach = ESTIMATE * usual * steps.sqrt(state.rows)
    return steps.clip((close - state.mark) / reach, -1.0, 1.0) if reach > 0.0 else 0.0


@compile.step
def count(state, row, close):
    """Add a bar to what is known since `mark`."""
    delta, volume = row.buy_volume - row.sell_volume, row.buy_volume + row.sell_volume
    if delta - delta == 0.0 and volume >= 0.0:
        state.delta += delta
        state.volume += volume
    else:
        state.unsigned += 1
    state.rows += 1
    state.reached = close


@compile.step
def restart(state, price):
    """Count anew from a price."""
    state.mark, state.volume, state.delta, state.rows, state.unsigned = price, 0.0, 0.0, 0, 0


@compile.step
def begin(state, row, params):
    """Start a session: its opening counts if it is seen from the first bar and the usual move is known."""
    state.session, state.usual = row.session_id, state.latest
    watched = row.minute_of_session <= params.opening and state.known > params.window and state.usual > 0.0
    state.phase = 1 if watched else 0
    restart(state, row.open - state.origin)


@compile.step
def ended(state, params):
    """Close the opening range: keep which way it went, and watch what follows unless it was an auction."""
    moved, leaned = state.reached - state.mark, lean(state, state.reached, state.usual)
    far = abs(moved) >= params.drive * state.usual
    state.way = (1 if moved > 0.0 else -1) if far else (1 if leaned > 0.0 else -1)
    state.phase = 2 if far or abs(leaned) >= params.lean else 0
    restart(state, state.reached)


@compile.step
def judge(state, close, params):
    """Answer the side that leads since the opening range, if one does: with the opening or against it."""
    share = lean(state, close, state.usual)
    if not abs(share) >= params.lean:
        return 0, 0.0
    state.phase = 0
    side = 1 if share > 0.0 else -1
    state.went = side * state.way
    return side, steps.squash(abs(share) * (DRIVE if state.went > 0 else FADE))


class OpenDriveVsFade(Strategy):
    """Go with the opening where its side goes on, against it where the other side takes over."""

    nexus_api = 1
    category = "momentum"
    needs = {"bar"}
    horizon = 30
    row_seconds = 60.0
    targets = {"within": 25, "hits": 0.95, "false": 0.2}

    opening = Param(15, low=1, high=240, help="Minutes of the opening range")
    drive = Param(2.0, low=0.1, high=50.0, help="Move of the opening that is a way, in usual moves of a row")
    confirm = Param(6, low=1, high=240, help="Minutes after the opening range before it is judged")
    deadline = Param(25, low=1, high=1_440, help="Minutes after the opening range in which it is judged")
    lean = Param(0.25, low=0.01, high=1.0, help="Share of the volume by which one side leads")
    window = Param(120, low=10, high=5_000, help="Rows that give the usual move")

    @property
    def warmup(self) -> int:
        """Return the rows that give the usual move."""
        return self.params.window + 1

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {
            "origin": math.nan,  # prices are taken from here, so that turning them over turns only the sign
            "known": 0,
            "moves": steps.rolling_std(params.window),
            "before": math.nan,
            "latest": math.nan,
            "session": -1,
            "phase": 0,  # 1 in the opening range, 2 after it until it is judged, 0 else
            "usual": math.nan,  # move of a row, as the session began
            "way": 0,  # of the opening
            "went": 0,  # how the last session judged went on: 1 with its opening, -1 against it
            "mark": math.nan,  # where the session opened, then where its opening range ended
            "reached": math.nan,  # the last close
            "volume": 0.0,
            "delta": 0.0,
            "rows": 0,
            "unsigned": 0,  # of these rows, those without signed volume
        }

    @staticmethod
    def step(row, state, params):
        """Take one row; answer once a session, when what follows the opening has shown its side."""
        known = row.open + row.high + row.low + row.close
        if known - known != 0.0:
            return 0, 0.0
        if state.origin != state.origin:
            state.origin = row.close
        close = row.close - state.origin
        if row.session_id != state.session:
            begin(state, row, params)
        deviation = steps.rolling_std.push(state.moves, close - state.before)
        state.before, state.latest, state.known = close, deviation, state.known + 1
        after = row.minute_of_session - params.opening
        if state.phase == 1 and after > 0:
            ended(state, params)
        if state.phase == 2 and after > params.deadline:
            state.phase = 0
        if state.phase == 0:
            return 0, 0.0
        count(state, row, close)
        if state.phase == 2 and after >= params.confirm:
            return judge(state, close, params)
        return 0, 0.0
