"""Strategies that break one promise of their contract each, and keep all the others."""

from __future__ import annotations

import math

from nexus_core import Param, Strategy
from nexus_core.compile import JIT


def answer(move):
    """Answer with a move beyond 1, the farther the higher; to one that is not known with nothing."""
    if not abs(move) > 1.0:
        return 0, 0.0
    return (1 if move > 0 else -1), float(min(abs(move) / 8, 1.0))


class _Follow(Strategy):
    """Follow the newest move."""

    category = "momentum"
    warmup = 3

    def signal(self, window):
        return answer(window.close[-1] - window.close[-2])


class Boolean(_Follow):
    """Declare no number."""

    nexus_api = True


class Mumbling(_Follow):
    """Say nothing of what a parameter means."""

    nexus_api = 1
    size = Param(1.0, low=0.0, high=2.0, help=" ")


class Nameless(_Follow):
    """Stand in no document."""

    nexus_api = 1


class Trendy(_Follow):
    """Live on what no other knows."""

    nexus_api = 1
    category = "trendy"


class Moody(_Follow):
    """Count over all instances how often it was asked."""

    nexus_api = 1
    asked = 0

    def signal(self, window):
        """Answer each seventh time."""
        type(self).asked += 1
        return (1, 0.5) if self.asked % 7 == 0 else (0, 0.0)


class Foresighted(_Follow):
    """Look at the block that its window is cut from."""

    nexus_api = 1

    def signal(self, window):
        """Answer with what will have become of the price."""
        return answer(window.rows.base["close"][-1] - window.close[-1])


class Counting(_Follow):
    """Count the rows that come together."""

    nexus_api = 1

    def signal(self, window):
        """Answer the other way in blocks of seven."""
        signal, score = super().signal(window)
        return (-signal if len(window.rows.base) == self.warmup + 7 else signal), score


class Forgetful(_Follow):
    """Keep on the object what belongs into the state."""

    nexus_api = 1

    def __init__(self, **given):
        super().__init__(**given)
        self.last = {}

    def signal(self, window):
        """Answer where the direction changes."""
        signal, score = super().signal(window)
        symbol = int(window.symbol[-1])
        if signal in (0, self.last.get(symbol, 0)):
            return 0, 0.0
        self.last[symbol] = signal
        return signal, score


class Gossiping(_Follow):
    """Answer for a symbol where another was asked about at the same time."""

    nexus_api = 1
    before = 0

    def signal(self, window):
        """Answer where this is not the first symbol of its instant."""
        is_alone, self.before = self.before != window.ts[-1], window.ts[-1]
        return (0, 0.0) if is_alone else super().signal(window)


class Fragile(_Follow):
    """Hand on a score that is not known."""

    nexus_api = 1

    def signal(self, window):
        """Answer without a look at NaN."""
        move = float(window.close[-1] - window.close[-2])
        return (move > 0) - (move < 0), min(abs(move) / 8, 1.0)


class Poisoned(Strategy):
    """Let what is not known into what it remembers."""

    nexus_api = 1
    category = "trend_following"
    mirror = "its average starts at 1000, on one side of the price"

    @staticmethod
    def state(params):
        """Return an average."""
        return {"mean": 1000.0}

    @staticmethod
    def step(row, state, params):
        """Answer with the distance from the average, none once that is NaN."""
        state.mean += 0.125 * (row.close - state.mean)
        away = row.close - state.mean
        if not abs(away) > 1.0:
            return 0, 0.0
        return (1 if away > 0.0 else -1), 0.5


class Punctual(_Follow):
    """Count on rows that come at equal distances."""

    nexus_api = 1

    def signal(self, window):
        """Answer unless a row is missing."""
        first, second, third = (int(each) for each in window.ts)
        if third - second != second - first:
            raise ValueError("a row is missing")
        return super().signal(window)


class Thirsty(_Follow):
    """Divide by the volume."""

    nexus_api = 1

    def signal(self, window):
        """Answer with the move, unless there was no volume."""
        weight = 1 / float(window.volume[-1])
        return super().signal(window) if weight == weight else (0, 0.0)


class Impatient(_Follow):
    """Divide by the rows before the first."""

    nexus_api = 1
    warmup = 0

    def signal(self, window):
        """Answer less and less."""
        return 0, 1 / int(window.seq[-1])


class Clockwork(_Follow):
    """Count on days of 24 hours."""

    nexus_api = 1

    def signal(self, window):
        """Answer where the day is as long as always."""
        if window.minute_of_session[-1] + window.minutes_to_close[-1] != 1440:
            raise ValueError("what day is this?")
        return super().signal(window)


class Boastful(_Follow):
    """Score without an end."""

    nexus_api = 1

    def signal(self, window):
        """Answer with a score that a large move takes beyond 1."""
        move = window.close[-1] - window.close[-2]
        return (answer(move)[0], abs(float(move)) / 2) if abs(move) > 1.0 else (0, 0.0)


class Hopeful(_Follow):
    """Only ever buy."""

    nexus_api = 1

    def signal(self, window):
        """Answer a rise, and no fall."""
        signal, score = super().signal(window)
        return (signal, score) if signal > 0 else (0, 0.0)


class Curt(_Follow):
    """Give no reason why nothing mirrors it."""

    nexus_api = 1
    mirror = "no"


class Plodding(Strategy):
    """Walk a long way for each row."""

    nexus_api = 1
    category = "momentum"

    @staticmethod
    def step(row, state, params):
        """Answer what comes of many sums."""
        x, y = 0.0, row.trades
        for _ in range(5_000):
            x = x * 0.5 + y
        return 0, min(x, 0.0)


class TwoFaced(Strategy):
    """Score otherwise where nothing is compiled."""

    nexus_api = 1
    category = "momentum"

    @staticmethod
    def step(row, state, params):
        """Answer by whether it is compiled."""
        return 0, (0.5 if JIT else 0.25)


class Coarse(_Follow):
    """Round prices to cents."""

    nexus_api = 1

    def signal(self, window):
        """Answer with the move, if the price has a logarithm."""
        return super().signal(window) if math.log(round(float(window.close[-1]), 2)) else (0, 0.0)
