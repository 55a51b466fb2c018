"""The values a user, a plugin or a venue meets: enums, market data, instruments, orders, decisions, times.

They are views made at the edge; inside a run everything is a flat record. Times are int nanoseconds UTC.
Prices, quantities and money of instruments, orders and positions are `Decimal`, whole multiples of 1e-8.
"""

from __future__ import annotations

import hashlib
import math
import operator
import re
from base64 import b32encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import IntEnum, StrEnum, auto
from typing import Any, Literal, SupportsIndex, TypeAlias, cast

from attrs import Attribute, Converter, Factory, asdict, field, frozen

from nexus_core.errors import ConfigError, DataError, UsageError

UNIT = 100_000_000
"""Units of the ledger in one whole: its prices, quantities and money are int64 in 1e-8."""

Number: TypeAlias = int | float | Decimal | str
"""What a setting in decimal notation may be given as."""

_STEP = Decimal("1e-8")
# A context of our own: a caller's precision or rounding must not reach the ledger.
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_INT64 = range(-(2**63), 2**63)


class SecurityLevel(IntEnum):
    """How far a piece of data may travel."""

    PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = range(4)


class MarketDataType(IntEnum):
    """What a piece of market data reports; a bar is an `AGGREGATE`."""

    TRADE, QUOTE, BOOK_UPDATE, INDEX, AGGREGATE = range(1, 6)


class StrategyCategory(StrEnum):
    """What a strategy lives on, as its name in lower case; layer 3 knows from it which regimes favour it."""

    TREND_FOLLOWING, MEAN_REVERSION, MOMENTUM, BREAKOUT = auto(), auto(), auto(), auto()
    STATISTICAL_ARBITRAGE, ARBITRAGE, MARKET_MAKING, EVENT_DRIVEN = auto(), auto(), auto(), auto()
    VOLUME_PROFILE, ORDER_FLOW, LIQUIDITY_ANALYSIS = auto(), auto(), auto()
    SCALPING, SWING_TRADING, POSITION_TRADING = auto(), auto(), auto()


class SignalType(IntEnum):
    """A strategy's opinion, as an integer that can be computed with."""

    STRONG_SELL, SELL, NEUTRAL, BUY, STRONG_BUY = range(-2, 3)

    @classmethod
    def of(cls, value: float) -> SignalType:
        """Return the type of a signal value: the strongest one it reaches; NaN is neutral."""
        return cls.NEUTRAL if math.isnan(value) else cls(math.trunc(min(max(value, -2), 2)))


class Side(IntEnum):
    """Which way an order goes; times a quantity it is the change of the position."""

    BUY, SELL = 1, -1


class OrderKind(IntEnum):
    """How an order meets the market."""

    MARKET, LIMIT, STOP = range(3)


class OrderState(IntEnum):
    """Where an order stands; `UNKNOWN` is not failed: only the venue can tell what became of it."""

    NONE, PENDING, SUBMITTED, OPEN, PARTIALLY_FILLED = range(5)
    FILLED, CANCELLED, REJECTED, EXPIRED, UNKNOWN = range(5, 10)


class Purpose(IntEnum):
    """Why an order exists; all but an entry only reduce a position."""

    ENTRY, EXIT, STOP, TARGET = range(4)


class Outcome(IntEnum):
    """How an opportunity ended: layers 1 to 5 skip, layer 6 rejects."""

    APPROVED, SKIPPED, REJECTED = range(1, 4)


class Mode(IntEnum):
    """The safety mode of a run."""

    NORMAL, PAUSED, REDUCED, EMERGENCY = range(4)


class MarketClass(IntEnum):
    """What layer 6 makes of the market for the trade at hand."""

    FAVORABLE, NEUTRAL, ADVERSE = range(3)


_ENDS = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED})
_TRADING = _ENDS - {OrderState.REJECTED} | {OrderState.PARTIALLY_FILLED}

ORDER_STEPS: dict[OrderState, frozenset[OrderState]] = {
    OrderState.NONE: frozenset({OrderState.PENDING}),
    OrderState.PENDING: _ENDS - {OrderState.FILLED} | {OrderState.SUBMITTED},
    OrderState.SUBMITTED: _TRADING | {OrderState.OPEN, OrderState.REJECTED, OrderState.UNKNOWN},
    OrderState.OPEN: _TRADING | {OrderState.UNKNOWN},
    OrderState.PARTIALLY_FILLED: _TRADING | {OrderState.UNKNOWN},
    OrderState.UNKNOWN: _TRADING | {OrderState.OPEN, OrderState.REJECTED},
    **{end: frozenset[OrderState]() for end in _ENDS},
}
"""The legal next states of each order state; an end state has none."""


def to_units(value: Number | SupportsIndex, what: str = "a value") -> int:
    """Return `value` in units of 1e-8, rounded once, half to even; a float counts as its exact binary value.

    `what` names the value in the error that NaN, infinity and anything outside int64 raise.
    """
    plain = value if isinstance(value, float | Decimal | str) else operator.index(value)
    try:
        units = int(_EXACT.scaleb(_EXACT.quantize(Decimal(plain, _EXACT), _STEP), 8))
    except (InvalidOperation, ValueError):
        units = _INT64.stop
    if units not in _INT64:
        limit = from_units(_INT64.stop - 1)
        raise DataError(f"{what} was {value}; it must be a finite number within {limit} of 0.")
    return units


def from_units(units: SupportsIndex) -> Decimal:
    """Return the exact decimal value of `units` of 1e-8."""
    return _EXACT.scaleb(Decimal(operator.index(units)), -8)


def half_even(product: int) -> int:
    """Return a product of two amounts in units, which is in units squared, in units: half to even."""
    whole, rest = divmod(product, UNIT)
    return whole + (rest > UNIT // 2 or (rest == UNIT // 2 and whole & 1))


def _decimal(value: Number, field: Attribute[Decimal]) -> Decimal:
    # of a float the digits as written, not its binary expansion
    text, what = str(value), f"instrument: {field.name}"
    try:
        exact = from_units(to_units(text, what))
    except DataError as error:
        raise ConfigError(str(error)) from None
    if exact != Decimal(text):
        raise ConfigError(f"{what} was {text}; the finest is 1e-8 (finer prices: per = 1000).")
    return exact


# attrs hands over the field too; whoever makes an instrument gives one value
_NUMBER = cast("Callable[[Number], Decimal]", Converter(_decimal, takes_field=True))


def _nan_as_none(value: float) -> float | None:
    # Two values that are equal but for something unknown in both are equal.
    return None if math.isnan(value) else value


def _is_symbol(text: str) -> bool:
    return text != "" and text.isprintable() and " " not in text


def _is_code(text: str) -> bool:
    return text.isascii() and text.isalnum()


@frozen
class MarketData:
    """One piece of market data as it came: prices in quote currency, sizes in base, NaN for unknown."""

    symbol: str
    timestamp: int  # nanoseconds UTC; of a bar its close
    price: float
    volume: float = field(eq=_nan_as_none)
    bid: float = field(default=math.nan, eq=_nan_as_none)
    ask: float = field(default=math.nan, eq=_nan_as_none)
    bid_size: float = field(default=math.nan, eq=_nan_as_none)
    ask_size: float = field(default=math.nan, eq=_nan_as_none)
    data_type: MarketDataType = MarketDataType.TRADE
    sequence_num: int = 0
    source: str = ""
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], converter=dict[str, Any], hash=False)

    @property
    def mid_price(self) -> float:
        """The middle of bid and ask; NaN where one is unknown."""
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> float:
        """Ask less bid, in price; below 0 where the quote is crossed."""
        return self.ask - self.bid

    @property
    def spread_bps(self) -> float:
        """The spread in basis points of the mid price; NaN where that is 0."""
        return self.spread / self.mid_price * 1e4 if self.mid_price else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the twelve fields by name, the data type as its name."""
        return asdict(self) | {"data_type": self.data_type.name}


@frozen
class TradingSignal:
    """A strategy's opinion on a symbol at a time, with a confidence in [0, 1]."""

    signal_type: SignalType
    confidence: float
    symbol: str
    timestamp: int  # nanoseconds UTC
    strategy: str
    metadata: Mapping[str, Any] = field(factory=dict[str, Any], converter=dict[str, Any], hash=False)

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            who = f"{self.strategy} on {self.symbol}"
            raise DataError(f"{who}: confidence was {self.confidence}; it must lie in [0, 1].")


@frozen
class RiskMetrics:
    """What a trade risks and may gain; `sharpe_ratio` and `expected_return` inform and have no limits."""

    position_size: float  # fraction of equity
    stop_loss: float  # distance from the entry, as a fraction of its price
    take_profit: float  # likewise
    max_drawdown: float  # fraction of equity
    sharpe_ratio: float = field(eq=_nan_as_none)
    var_95: float  # loss not exceeded with probability 0.95, in the settlement currency, as a positive number
    expected_return: float = field(eq=_nan_as_none)  # in the settlement currency
    risk_score: float  # 0 is none, 1 the worst

    def validate(self) -> list[str]:
        """Return the broken ones of the four constraints, each as a sentence; NaN breaks the one it is in.

        The position is a fraction of equity; both exits are set and the stop is nearer than the whole price;
        the losses are possible ones; the risk score lies in [0, 1].
        """
        stop, target, fall, var = self.stop_loss, self.take_profit, self.max_drawdown, self.var_95
        exits = f"stop_loss was {stop}, take_profit {target}"
        losses = f"max_drawdown was {fall}, var_95 {var}"
        constraints = (
            (0 <= self.position_size <= 1, f"position_size was {self.position_size}; it must lie in [0, 1]."),
            (0 < stop < 1 and 0 < target < math.inf, f"{exits}; they must lie in (0, 1) and above 0."),
            (0 <= fall <= 1 and 0 <= var < math.inf, f"{losses}; they must lie in [0, 1] and from 0 up."),
            (0 <= self.risk_score <= 1, f"risk_score was {self.risk_score}; it must lie in [0, 1]."),
        )
        return [sentence for holds, sentence in constraints if not holds]


@frozen
class AccountCurrency:
    """The currency an account is kept in, with the decimals it is shown with (at most the ledger's 8)."""

    code: str = "USD"
    decimals: int = 2

    def __attrs_post_init__(self) -> None:
        if not _is_code(self.code):
            raise ConfigError(f"account currency was {self.code!r}; give a code such as USD.")
        if self.decimals not in range(9):
            raise ConfigError(f"{self.code}: decimals was {self.decimals}; give a whole number from 0 to 8.")


def _currency(instrument: Instrument, place: int) -> str:
    parts = instrument.symbol.split("-")
    return parts[place] if len(parts) == 2 else ""


_FEE, _MOST = Decimal("0.001"), Decimal("0.05")
_RULES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("symbol",), _is_symbol, "it must be printable text without spaces"),
    (("tick", "lot"), lambda value: value > 0, "it must be above 0"),
    (("min_notional",), lambda value: value >= 0, "it must be 0 or above"),
    (("multiplier",), lambda n: isinstance(n, int) and 0 < n <= UNIT, "it must be whole, from 1 to 1e8"),
    (("base", "quote", "settle"), _is_code, "give a code such as USD, or name the symbol BASE-QUOTE"),
    (("maker_fee", "taker_fee"), lambda fee: abs(fee) <= _MOST, "5 % is the most; 0.1 % is written 0.001"),
    (("margin_rate",), lambda rate: 0 < rate <= 1, "it must lie in (0, 1]; 1 is fully funded"),
    (("per",), lambda per: per in (1, 1000), "it must be 1 or 1000"),
    (("calendar",), bool, "name one, such as crypto"),
)


@frozen
class Instrument:
    """What can be traded and by which rules.

    Without rules of its own it has the finest tick and lot of the ledger (1e-8), no minimum, and a fee of
    0.1 %. A symbol of the form BASE-QUOTE names its currencies; any other needs `base` and `quote`.
    """

    symbol: str
    tick: Decimal = field(default=_STEP, converter=_NUMBER)  # of the quoted price
    lot: Decimal = field(default=_STEP, converter=_NUMBER)  # of the quantity
    min_notional: Decimal = field(default=Decimal(0), converter=_NUMBER)  # in quote currency
    multiplier: int = 1  # whole units of the underlying in one of quantity
    inverse: bool = False  # settled in the base currency
    base: str = field(default=Factory(lambda self: _currency(self, 0), takes_self=True))
    quote: str = field(default=Factory(lambda self: _currency(self, 1), takes_self=True))
    settle: str = field(default=Factory(lambda i: i.base if i.inverse else i.quote, takes_self=True))
    maker_fee: Decimal = field(default=_FEE, converter=_NUMBER)  # a rebate is negative
    taker_fee: Decimal = field(default=_FEE, converter=_NUMBER)  # a fraction of the notional
    margin_rate: Decimal = field(default=Decimal(1), converter=_NUMBER)  # 1 is fully funded
    per: int = 1  # the price is for this many: 1,000 where a tick would be finer than 1e-8
    calendar: str = "crypto"
    shortable: bool = True

    def __attrs_post_init__(self) -> None:
        for names, holds, rule in _RULES:
            for name in names:
                if not holds(value := getattr(self, name)):
                    was = f"{value:f}" if isinstance(value, Decimal) else str(value) or "missing"
                    raise ConfigError(f"instrument {self.symbol}: {name} was {was}; {rule}.")


@frozen
class Order:
    """An order as it stands."""

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    kind: OrderKind
    price: Decimal  # limit or stop price; of a market order the mark when it was approved
    purpose: Purpose
    state: OrderState
    timestamp: int  # nanoseconds UTC of the decision
    stop_loss: Decimal | None = None  # price of the stop to set once filled
    take_profit: Decimal | None = None  # price of the target to set once filled
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None  # of the filled quantity; None while there is none
    decision: str | None = None  # name of the decision behind it

    @property
    def remaining(self) -> Decimal:
        """The quantity not filled."""
        return _EXACT.subtract(self.quantity, self.filled)


@frozen
class ApprovedOrder:
    """An order with its approval. Making one approves nothing: the order desk believes only the journal."""

    order: Order
    content_hash: int
    approved_at: int  # nanoseconds UTC


@frozen
class Fill:
    """A trade of ours: `quantity` at `price`, the fee in the settlement currency (a rebate is negative)."""

    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    timestamp: int  # nanoseconds UTC


@frozen
class Trade:
    """A position from its first fill to the one that closed it; money in the settlement currency."""

    symbol: str
    side: Side
    quantity: Decimal  # the most that was held
    profit: Decimal  # after fees
    fees: Decimal
    opened: int  # nanoseconds UTC
    closed: int


@frozen
class Position:
    """What is held of a symbol: long above 0, short below; results in the settlement currency."""

    symbol: str
    quantity: Decimal
    average_price: Decimal  # of the open quantity; 0 while there is none
    realised: Decimal  # profit of closed quantity, before fees
    fees: Decimal
    mark: Decimal  # last price it was valued at


@frozen
class Verdict:
    """One gate's answer on one opportunity; it refuses values beyond its limit, and NaN."""

    gate: str
    layer: int
    value: float = field(eq=_nan_as_none)
    limit: float = field(eq=_nan_as_none)
    passed: bool
    refuses: Literal["above", "from", "below"]
    guard: bool = False  # an earlier gate leaves it nothing to refuse


@frozen
class Decision:
    """What became of one opportunity, with every verdict on the way."""

    id: str
    symbol: str
    timestamp: int  # nanoseconds UTC
    outcome: Outcome
    reason: str  # the gate that ended it
    direction: int  # 1 buy, -1 sell, 0 none
    confidence: float = field(eq=_nan_as_none)  # a rank in [0, 1]
    p_right: float = field(eq=_nan_as_none)  # calibrated share right; NaN where uncalibrated
    value: float = field(eq=_nan_as_none)  # what the deciding gate saw
    equity: Decimal
    verdicts: tuple[Verdict, ...] = ()
    order_id: str | None = None


_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:(?<=:\d\d:\d\d)\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?)?", re.A
)
_ORDER_NAME = re.compile(r"NEXUS_(.+)_(-?\d{1,11})_(\d{6,20})", re.A)


def ns(moment: str | datetime) -> int:
    """Return ISO text or a datetime as nanoseconds UTC.

    Text may have up to nine decimals of a second and counts as UTC without an offset. A datetime needs a time
    zone: without one it would mean the machine's.
    """
    fraction, when = "", moment
    if isinstance(when, str):
        found = _ISO.fullmatch(when)
        day, clock, fraction, zone = found.groups("") if found else ("", "", "", "")
        try:
            when = datetime.fromisoformat(f"{day}T{clock or '00:00'}{zone or 'Z'}")
        except ValueError:
            raise DataError(f"time was {moment!r}; write it like 2026-03-01T14:05:00Z.") from None
    if when.tzinfo is None:
        raise DataError(f"time was {moment} without a time zone; give it one, such as tzinfo=UTC.")
    result = (when - _EPOCH) // timedelta(microseconds=1) * 1000 + int(fraction.ljust(9, "0"))
    if result not in _INT64:
        raise DataError(f"time was {moment}; it must lie between the years 1678 and 2261.")
    return result


def iso(timestamp_ns: SupportsIndex) -> str:
    """Return nanoseconds UTC as ISO text, with 3, 6 or 9 decimals of a second where it needs them."""
    seconds, rest = divmod(operator.index(timestamp_ns), _SECOND)
    decimals = re.sub("(000)+$", "", f".{rest:09d}").rstrip(".")
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}{decimals}Z"


def order_name(symbol: str, timestamp_ns: int, counter: int) -> str:
    """Return the id of the run's order number `counter` (from 0), made at a market time."""
    if not _is_symbol(symbol) or counter < 0:
        raise DataError(f"order {counter} of {symbol!r}: needs a counter from 0 and a symbol without spaces.")
    return f"NEXUS_{symbol}_{timestamp_ns // _SECOND}_{counter:06d}"


def parse_order_name(name: str) -> tuple[str, int, int]:
    """Return symbol, seconds UTC and counter of an order id."""
    found = _ORDER_NAME.fullmatch(name)
    if found and _is_symbol(found[1]):
        symbol, seconds, counter = found[1], int(found[2]), int(found[3])
        if order_name(symbol, seconds * _SECOND, counter) == name:
            return symbol, seconds, counter
    raise UsageError(f"order id was {name!r}; it must look like NEXUS_BTC-USD_1772373900_000001.")


def venue_id(run_id: str, order_id: str) -> str:
    """Return the name an order bears at the venue: 32 characters of A-Z and 2-7, the same whenever asked."""
    digest = hashlib.blake2b(f"{run_id}\0{order_id}".encode(), digest_size=20).digest()
    return b32encode(digest).decode()


def decision_name(symbol: str, timestamp_ns: int) -> str:
    """Return the id of the decision on a symbol at a market time."""
    if not _is_symbol(symbol):
        raise DataError(f"decision on {symbol!r}: needs a symbol without spaces.")
    return f"{symbol}@{iso(timestamp_ns)}"


def parse_decision_name(name: str) -> tuple[str, int]:
    """Return symbol and nanoseconds UTC of a decision id; the time may be any that `ns` reads."""
    symbol, _, moment = name.rpartition("@")
    if not _is_symbol(symbol) or not _ISO.fullmatch(moment):
        raise UsageError(f"decision id was {name!r}; it must look like BTC-USD@2026-03-01T14:05:00Z.")
    return symbol, ns(moment)
