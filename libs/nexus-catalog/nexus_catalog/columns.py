"""Which column of a table is which field of a row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nexus_core.errors import DataError, hint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEEDED = {"bars": "ts open high low close", "trades": "ts price size", "quotes": "ts bid ask"}
"""Of each kind of table the fields it must have."""

FIELDS = {
    "bars": f"{NEEDED['bars']} volume bid ask bid_size ask_size buy_volume sell_volume trades",
    "trades": f"{NEEDED['trades']} side id local",
    "quotes": f"{NEEDED['quotes']} bid_size ask_size local",
}
"""Of each kind of table the fields it may have."""

_NAMES = {
    "ts": "ts timestamp datetime date time opentime closetime open_time close_time timens tsns eventtime "
    "transacttime timestampms gmttime localtime unix unixtime epoch transactiontime tradetime",
    "open": "o openprice first",
    "high": "h highprice max",
    "low": "l lowprice min",
    "close": "c closeprice last closelast",
    "volume": "v vol volumebtc tickvolume basevolume totalvolume",
    "bid": "b bidprice bestbid bestbidprice bidclose bidpx closebid",
    "ask": "a askprice bestask bestaskprice askclose askpx closeask offer",
    "bid_size": "bidqty bidvolume bestbidqty bestbidsize bidamount bidsz",
    "ask_size": "askqty askvolume bestaskqty bestasksize askamount asksz",
    "buy_volume": "takerbuyvolume takerbuybasevolume takerbuybaseassetvolume buyvol",
    "sell_volume": "takersellvolume sellvol",
    "trades": "count numberoftrades tradecount ntrades numtrades",
    "price": "p px tradeprice rate last",
    "size": "qty quantity amount volume q vol tradesize",
    "side": "aggressor takerside direction type isbuyermaker",
    "id": "tradeid aggtradeid tid agg",
    "local": "localts localtimestamp received receivetime localtime",
}


def plain(name: str) -> str:
    """Return a column's name as it is compared: small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def mapped(source: str, kind: str, names: Sequence[str], given: str) -> dict[str, str]:
    """Return the column of each field found, from what is given as `ts=Date,open=Open`, else by its name.

    What is given stands in for nothing else: fields it does not name are still looked for among the others.
    A time in two columns is given as `ts=Date+Time`.
    """
    fields, needed = FIELDS[kind].split(), NEEDED[kind].split()
    found = _given(source, fields, names, given)
    taken = {part for column in found.values() for part in column.split("+")}
    by_plain = {plain(name): name for name in reversed(names) if name not in taken}
    for field in fields:
        if field not in found:
            for known in (plain(field), *map(plain, _NAMES[field].split())):
                if known in by_plain:
                    found[field] = by_plain.pop(known)
                    break
    if "ts" not in _given(source, fields, names, given) and {"date", "time"} <= {plain(n) for n in names}:
        found["ts"] = "+".join(next(n for n in names if plain(n) == part) for part in ("date", "time"))
    if lacking := [field for field in needed if field not in found]:
        raise DataError(
            f"{source}: no column for {', '.join(lacking)} among {', '.join(names)}. "
            f"Say which it is, like columns={lacking[0]}={names[0] if names else 'Name'}."
        )
    return found


def _given(source: str, fields: Sequence[str], names: Sequence[str], given: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in given.split(","))):
        field, equals, column = part.partition("=")
        if not equals or field not in fields:
            told = f"columns had {part!r}; write field=column, a field being one of {', '.join(fields)}"
            raise DataError(f"{source}: {told}.{hint(field, fields)}")
        for each in column.split("+"):
            if each not in names:
                raise DataError(
                    f"{source}: has no column {each!r}, only {', '.join(names)}.{hint(each, names)}"
                )
        found[field] = column
    return found


def used(columns: Mapping[str, str]) -> list[str]:
    """Return the columns that are read, each once."""
    return list(dict.fromkeys(part for column in columns.values() for part in column.split("+")))
