"""Who is believed, and what: sessions, signatures, and checks of what comes from outside."""

from __future__ import annotations

import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from attrs import frozen

from nexus_core import log
from nexus_core.config import Security
from nexus_core.errors import ConfigError, DataError, RefusedError
from nexus_core.types import MarketData

KEY_BYTES = 32
LONGEST, DEEPEST = 1000, 100
"""Characters that `sanitise` leaves of a string, and levels of nesting that it goes down."""


class SecurityManager:
    """Signs, verifies and checks; a key leaves it only through `generate_session_key`.

    A session lives `session_timeout` seconds from its beginning, however much it is used: a stolen key is of
    no use for longer. `max_failed_attempts` failed verifications in a row lock it for good. An id serves for
    one session only: its key, and with it all that was ever signed, would come back with it.

    Without a master key a random one is made. The clock is in seconds. Threads may share a manager.
    """

    def __init__(
        self, settings: Security, master_key: bytes | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if master_key is not None and len(master_key) != KEY_BYTES:
            raise ConfigError(f"security: the master key was {len(master_key)} bytes long; give {KEY_BYTES}.")
        if not settings.enable_authentication:
            log.warning("security.enable_authentication was false: every signature counts as right.")
        self._settings, self._clock = settings, clock
        self._master = master_key or secrets.token_bytes(KEY_BYTES)
        self._lock = threading.RLock()
        self._begun: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def generate_session_key(self, session_id: str) -> bytes:
        """Return the 32-byte key of a session, which begins if it has not; refuse one that has ended."""
        if self._settings.enable_authentication:
            with self._lock:
                self._begun.setdefault(session_id, self._clock())
                self._refuse_ended(session_id)
        return hmac.digest(self._master, session_id.encode("utf-8", "surrogatepass"), "sha256")

    def create_signature(self, data: bytes, session_id: str) -> bytes:
        """Return the 32-byte signature of data in a session, which begins if it has not."""
        return hmac.digest(self.generate_session_key(session_id), data, "sha256")

    def verify_signature(self, data: bytes, signature: bytes, session_id: str) -> bool:
        """Return whether a signature is the session's own of this data.

        Refuses a session that has ended, and one that was not begun here: a stranger's message begins none.
        """
        if not self._settings.enable_authentication:
            return True
        with self._lock:
            self._refuse_ended(session_id)
            right = hmac.compare_digest(self.create_signature(data, session_id), signature)
            self._failures[session_id] = 0 if right else self._failures.get(session_id, 0) + 1
            return right

    def validate_market_data(self, data: MarketData, now_ns: int) -> list[str]:
        """Return what is wrong with market data, each fault as a sentence; never raise.

        The symbol is not blank; the price is finite and above 0, the volume finite and from 0 on, or NaN for
        unknown; the timestamp lies within `clock_drift` seconds of now (nanoseconds UTC), before or after;
        the bid is not above the ask, where both are known. The fifth fault is whatever was raised meanwhile.
        """
        return list(_faults(data, now_ns, self._settings.clock_drift))

    def _refuse_ended(self, session_id: str) -> None:
        failures, life = self._failures.get(session_id, 0), self._settings.session_timeout
        if session_id not in self._begun:
            state = "was not begun; begin it with generate_session_key"
        elif failures >= self._settings.max_failed_attempts:
            state = f"was locked by {failures} failed verifications in a row; begin one under a new id"
        elif self._clock() - self._begun[session_id] >= life:
            state = f"was over {life} s after its beginning; begin one under a new id"
        else:
            return
        raise RefusedError(f"session {session_id!r:.80} {state}.")


def _faults(data: MarketData, now_ns: int, drift: float) -> Iterator[str]:
    # Conditions are put so that NaN breaks them, except where it means unknown.
    try:
        who, price, volume = f"market data of {data.symbol!r:.40}", data.price, data.volume
        if not data.symbol.strip():
            yield f"{who}: the symbol was blank; name one."
        if not (0 < price < math.inf and (math.isnan(volume) or 0 <= volume < math.inf)):
            yield f"{who}: price was {price}, volume {volume}; send finite ones, above 0 and from 0 on."
        if not abs(now_ns - data.timestamp) <= drift * 1e9:
            yield f"{who}: timestamp was {data.timestamp}; it must lie within {drift:g} s of {now_ns}."
        if data.bid > data.ask:
            yield f"{who}: bid was {data.bid}, above the ask, {data.ask}; look at its feed."
    except Exception as fault:  # whatever it is: data that cannot be looked at cannot be believed
        yield f"market data was not readable ({type(fault).__name__}); look at its feed."


def sanitise(value: Any, levels: int = DEEPEST) -> Any:
    """Return a value without NUL characters, its strings cut to 1000 characters.

    Dicts (their keys too), lists and tuples are gone through; all else stays as it is. Refuses more levels of
    them in each other than `levels`, and a dict of which two keys would become the same.
    """
    if isinstance(value, str):
        return value.replace("\0", "")[:LONGEST]
    if not isinstance(value, dict | list | tuple):
        return value
    if levels < 1:
        raise DataError("input: dicts, lists and tuples were nested too deeply; send it flatter.")
    if isinstance(value, list | tuple):
        parts = [sanitise(each, levels - 1) for each in cast("list[Any]", value)]
        return parts if isinstance(value, list) else tuple(parts)
    pairs = cast("dict[Any, Any]", value).items()
    table = {sanitise(key, levels - 1): sanitise(each, levels - 1) for key, each in pairs}
    if len(table) < len(pairs):
        raise DataError("input: two keys of a dict were the same once cleaned; send each once.")
    return table


@frozen
class AuthenticatedMarketData:
    """Market data of which it is proved who sent it, and when."""

    symbol: str
    price: float
    volume: float
    bid: float
    ask: float
    authenticated: bool = True


@frozen
class FeedSecurity:
    """Lets a feed's message through if it is signed, well-formed and fresh."""

    manager: SecurityManager
    max_staleness: float = 10.0
    """Seconds that a message may be old."""

    def authenticate(
        self, message: bytes, signature: bytes, session_id: str, data: MarketData, now_ns: int
    ) -> AuthenticatedMarketData:
        """Return what a message said, `data`; raise RefusedError where it is not to be believed.

        The signature is one of the message's bytes, as they came.
        """
        if not self.manager.verify_signature(message, signature, session_id):
            raise RefusedError(f"{data.symbol}: the signature does not fit the message. See who sends it.")
        if faults := self.manager.validate_market_data(data, now_ns):
            raise RefusedError(f"{data.symbol}: {' '.join(faults)} The message is not used.")
        if (age := (now_ns - data.timestamp) / 1e9) > self.max_staleness:
            raise RefusedError(f"{data.symbol}: was {age:.1f} s old, may be {self.max_staleness:g} s.")
        return AuthenticatedMarketData(data.symbol, data.price, data.volume, data.bid, data.ask)
