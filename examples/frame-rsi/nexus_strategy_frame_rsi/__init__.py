"""Somebody's function on a DataFrame, as a strategy: it stays as it was written."""

from nexus_classic import ClassicStrategy


def rsi_signal(df, length=14):
    """Return what a notebook had: 1 below 30, -1 above 70, 0 between, from a table with a column `close`."""
    change = df["close"].diff().tail(length)
    up, down = change.clip(lower=0).mean(), -change.clip(upper=0).mean()
    rsi = 100 * up / (up + down) if up + down > 0 else 50
    return (1 if rsi < 30 else -1 if rsi > 70 else 0), abs(rsi - 50) / 50


class FrameRsi(ClassicStrategy):
    """Buy where the relative strength index is low, sell where it is high."""

    nexus_api = 1
    category, needs, warmup, horizon = "mean_reversion", {"bar"}, 15, 30
    takes = "frame"
    mirror = "upside down its means round otherwise, by a part in 10^15"

    def execute(self, data):
        """Answer from the latest rows, as a table."""
        signal, strength = rsi_signal(data)
        return {"signal": float(signal), "confidence": float(strength) if signal else 0.0}
