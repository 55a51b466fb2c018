"""Buy a fall from the highest close of the window, as a compiled step; the deeper, the higher the score."""

from nexus_core import Param, Strategy, steps


class FallStep(Strategy):
    """Buy where the close lies `drop` or more below the highest of the window."""

    nexus_api = 1
    category, needs, horizon = "mean_reversion", {"bar"}, 60
    mirror = "it buys falls and leaves rises alone"

    drop = Param(0.01, low=0.001, high=0.5, help="Fall from the high that counts, as a fraction of it")
    window = Param(240, low=2, high=10_000, help="Rows the high is taken over")

    @property
    def warmup(self):
        """Return the rows that fill the window."""
        return self.params.window

    @staticmethod
    def state(params):
        """Return a symbol's state before its first row."""
        return {"high": steps.rolling_max(params.window)}

    @staticmethod
    def step(row, state, params):
        """Take one row; answer signal and score. An unknown close compares as false: no opinion."""
        fall = 1.0 - row.close / steps.rolling_max.push(state.high, row.close)
        if fall > params.drop:
            return 1, min(fall / (3.0 * params.drop), 1.0)
        return 0, 0.0
