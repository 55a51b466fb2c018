"""Somebody's function on a DataFrame, as a strategy: it stays as it was written."""

from nexus_classic import ClassicStrategy


def rsi_signal(df, length=14):
    """Return what a notebook had: 1 below 30, -1 above 70, 0 between, from a table with a column `close`."""
    change = df["close"].diff()
    up = change.clip(lower=0).ewm(alpha=1 / length, adjust=False).mean()
    down = (-change.clip(upper=0)).ewm(alpha=1 / length, adjust=False).mean()
    rsi = 100 - 100 / (1 + up / down)
    last = rsi.iloc[-1]
    return (1 if last < 30 else -1 if last > 70 else 0), abs(last - 50) / 50


class FrameRsi(ClassicStrategy):
    """Buy where the relative strength index is low, sell where it is high."""

    nexus_api = 1
    category, needs, warmup, horizon = "mean_reversion", {"bar"}, 100, 30
    takes = "frame"
    mirror = "upside down its averages round otherwise, by a part in 10^15"

    def execute(self, data):
        """Answer from the latest rows, as a table."""
        signal, strength = rsi_signal(data)
        return {"signal": float(signal), "confidence": float(strength) if signal else 0.0}
