"""What a run's listeners are told of a commit, once it is on the disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import Any

import numpy as np
from attrs import define, field

from nexus_core import types
from nexus_core.feed import Market
from nexus_core.journal import Batch
from nexus_core.ledger.orders import APPROVAL, FILL, MODE, MOVE
from nexus_core.listeners import Listeners
from nexus_core.records import EVENT, Records
from nexus_core.strategy import QUARANTINE

_WORDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("qty", "price", "fee", "equity"), types.from_units),
    "side": types.Side,
    "order_kind": types.OrderKind,
    "purpose": types.Purpose,
    "state": types.OrderState,
    "outcome": types.Outcome,
}
"""What turns a field's number into what a listener is told."""

_ORDER = itemgetter("order_id", "symbol", "side", "qty", "order_kind", "price", "purpose", "state", "ts")
_FILL = itemgetter("order_id", "symbol", "side", "qty", "price", "fee", "ts")
_DECIDED = ("symbol", "outcome", "direction", "confidence", "value", "equity", "order_id")
_TRADED = ["symbol", "ts", "position", "side", "qty", "price", "fee"]


@define
class News:
    """The listeners of one run, and what is needed to put its records into words."""

    listeners: Listeners
    run: str
    market: Market
    places: Sequence[Any]
    """The gates of the chain, by number."""
    _open: dict[int, list[int]] = field(factory=dict[int, list[int]], init=False)
    """For each symbol with a position: its opening time, most quantity, result so far and fees, in units."""

    def told_of(self, events: Records) -> None:
        """Take up fills of before, so that a trade that began there ends with its whole result."""
        list(self._trades(events[events["kind"] == FILL]))  # those that closed there were told of then

    def tell(self, batch: Batch) -> None:
        """Tell of one commit to whoever listens."""
        if not self.listeners:
            return
        events = np.concatenate([np.zeros(0, EVENT), *batch.events])
        kinds = (APPROVAL, MOVE), FILL, MODE
        orders, fills, modes = (events[np.isin(events["kind"], each)] for each in kinds)
        asked = [(np.frombuffer(each.record, EVENT)[0], each.why) for each in batch.inputs]
        self._each("nexus_decision", "decision", self._decisions(batch))
        self._each("nexus_order", "order", map(self._order, orders))
        self._each("nexus_fill", "fill", map(self._fill, fills))
        self._each("nexus_trade_closed", "trade", self._trades(fills))
        self._modes(modes, asked)
        self._quarantines(why for event, why in asked if event["kind"] == QUARANTINE)
        self.listeners.call("nexus_commit", run=self.run, tick=batch.tick, timestamp=batch.ts)

    def _each(self, hook: str, what: str, told: Iterable[Any]) -> None:
        if self.listeners.heard(hook):
            for each in told:
                self.listeners.call(hook, run=self.run, **{what: each})

    def alert(self, title: str, text: str) -> None:
        """Raise an alert."""
        self.listeners.call("nexus_alert", run=self.run, title=title, text=text)

    def _modes(self, events: Records, asked: Iterable[tuple[Any, str]]) -> None:
        whys = {(int(each["ts"]), int(each["mode"])): why for each, why in asked if each["kind"] == MODE}
        for ts, number in events[["ts", "mode"]].tolist():
            mode = types.Mode(number)
            why = whys.get((ts, number), "circuit breaker: lost or rejected too much this hour")
            self.listeners.call("nexus_mode", run=self.run, mode=mode, why=why)
            if mode != types.Mode.NORMAL:
                self.alert(mode.name, why)

    def _quarantines(self, whys: Iterable[str]) -> None:
        for each in whys:
            name, _, why = each.partition(": ")
            self.listeners.call("nexus_quarantine", run=self.run, strategy=name, why=why)
            self.alert("quarantine", each)

    def _decisions(self, batch: Batch) -> Iterator[types.Decision]:
        for decisions, verdicts, _ in batch.traces:
            ends = np.cumsum(decisions["verdicts"])[:-1]
            yield from map(self._decision, decisions, np.split(verdicts, ends))

    def _decision(self, record: Any, verdicts: Records) -> types.Decision:
        told = self._told(record)
        return types.Decision(
            id=types.decision_name(told["symbol"], told["ts"]),
            reason=self.places[told["reason"]].name if told["reason"] >= 0 else "",
            timestamp=told["ts"],
            p_right=math.nan,
            verdicts=tuple(map(self._verdict, verdicts)),
            **{each: told[each] for each in _DECIDED},
        )

    def _verdict(self, record: Any) -> types.Verdict:
        value, limit, number, passed = record.item()
        place = self.places[number]
        return types.Verdict(place.name, place.layer, value, limit, bool(passed), place.refuses)

    def _order(self, event: Any) -> types.Order:
        told = self._told(event)
        decided = told["decision"]
        decision = types.decision_name(told["symbol"], decided) if decided else None
        return types.Order(*_ORDER(told), decision=decision)

    def _fill(self, event: Any) -> types.Fill:
        return types.Fill(*_FILL(self._told(event)))

    def _told(self, record: Any) -> dict[str, Any]:
        """Return a record's values by field, put into words, with the id of the order it is about."""
        told: dict[str, Any] = dict(zip(record.dtype.names, record.item(), strict=True))
        told |= {name: word(told[name]) for name, word in _WORDS.items() if name in told}
        symbol = self.market.symbols[int(told["symbol"])]
        made = told.get("decision") or told["ts"]
        order = types.order_name(symbol, made, told["order"]) if told["order"] else None
        return told | {"symbol": symbol, "order_id": order}

    def _trades(self, fills: Records) -> Iterator[types.Trade]:
        rows: list[tuple[int, ...]] = fills[_TRADED].tolist()
        for s, ts, after, side, qty, price, fee in rows:
            before = after - side * qty
            closing = min(qty, abs(before)) if before * side < 0 else 0
            now = self._open.setdefault(s, [ts, abs(before), 0, 0])
            multiplier = self.market.instruments[s].multiplier
            notional = types.half_even(price * qty * multiplier)
            # as the ledger divides it: what is left of one rounding belongs to the position that opens
            mine = round(Fraction(notional * closing, qty)) if closing else notional
            now[2] -= side * mine + fee
            now[3] += fee
            if closing and before * after <= 0:
                was = types.Side.BUY if before > 0 else types.Side.SELL
                most, profit, fees = (types.from_units(each) for each in now[1:])
                yield types.Trade(self.market.symbols[s], was, most, profit, fees, now[0], ts)
                del self._open[s]
            if after and closing < qty:
                opened = self._open.setdefault(s, [ts, 0, 0, 0])
                opened[1] = max(opened[1], abs(after))
                opened[2] -= side * (notional - mine)
