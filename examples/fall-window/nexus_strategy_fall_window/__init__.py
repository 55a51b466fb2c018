"""Buy a fall from the highest close of the window; the deeper it is, the higher the score."""

from nexus_core import Strategy


class FallWindow(Strategy):
    """Buy where the close lies 1 % or more below the highest of the last four hours."""

    nexus_api = 1
    category, needs, warmup, horizon = "mean_reversion", {"bar"}, 240, 60
    mirror = "it buys falls and leaves rises alone"

    def signal(self, window):
        """Answer signal and score from the latest rows."""
        fall = 1.0 - window.close[-1] / window.close.max()
        return (1, min(fall / 0.03, 1.0)) if fall > 0.01 else (0, 0.0)
