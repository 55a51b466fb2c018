"""Follow the side of the touch that has been the larger one, weighted by the time it lasted."""

from nexus_core import Param, Strategy, steps

SECOND = 1e9


class BookPressure(Strategy):
    """Buy where the best bid has been larger than the best ask for most of the last seconds."""

    nexus_api = 1
    category = "order_flow"
    needs = {"book"}
    horizon = 60  # rows until a signal is judged
    row_seconds = 1.0

    memory = Param(10.0, low=0.1, high=3_600.0, help="Seconds after which a moment counts 1/e")
    least = Param(0.3, low=0.0, high=1.0, help="Mean pressure from which on it signals")

    @staticmethod
    def state(params):
        """Return a symbol's state before its first event."""
        return {"ts": 0, "now": 0.0, "mean": 0.0, "known": 0}

    @staticmethod
    def on_event(event, book, state, params):
        """Take one event: what pressed until now counts for the time it lasted."""
        if state.known:
            past = steps.exp(-(event.ts - state.ts) / (params.memory * SECOND))
            state.mean = past * state.mean + (1.0 - past) * state.now
        whole = book.bid_size + book.ask_size
        state.known = 1 if whole > 0.0 else 0  # of an unknown book the sum is NaN
        state.now = (book.bid_size - book.ask_size) / whole if whole > 0.0 else 0.0
        state.ts = event.ts

    @staticmethod
    def step(row, state, params):
        """Take one row; answer the side that pressed, and how much."""
        if state.known and abs(state.mean) >= params.least:
            return (1 if state.mean > 0.0 else -1), abs(state.mean)
        return 0, 0.0
