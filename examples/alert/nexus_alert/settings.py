"""`[plugins.alert]`, checked: what to tell of, and where to send it. Secrets come from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from nexus_core.errors import ConfigError, hint

EVENTS = ("nexus_start", "nexus_alert", "nexus_trade_closed", "nexus_stop")
KEYS = ("webhook", "mail_to", "mail_from", "mail_host", "mail_user", "events", "cooldown")
PASSWORD, SECRET = "NEXUS_ALERT_MAIL_PASSWORD", "NEXUS_ALERT_WEBHOOK_SECRET"
SECRETS = {"mail_password": PASSWORD, "webhook_secret": SECRET}
"""Keys that somebody may look for in the settings, with the variable to set instead."""
LOCAL = {"localhost", "127.0.0.1", "::1"}
"""Hosts that are this machine: what goes there is on no wire."""
YEAR = 31_536_000
ADDRESS = re.compile(r"[!-~]+@[!-~]+")


@dataclass(frozen=True)
class Webhook:
    """Where requests go; its address may hold a token, so only the host is ever shown."""

    host: str
    port: int
    encrypted: bool
    netloc: str = field(repr=False)
    target: str = field(repr=False)
    """Path and query."""
    secret: str = field(repr=False)
    """Key of the signature; empty for none."""


@dataclass(frozen=True)
class Mail:
    """Where mails go, and as whom."""

    to: tuple[str, ...]
    sender: str
    host: str
    port: int
    user: str
    """Empty where the server asks for none."""
    password: str = field(repr=False)

    @property
    def local(self) -> bool:
        """Tell whether the server is on this machine."""
        return self.host.lower() in LOCAL


@dataclass(frozen=True)
class Choice:
    """What a run's settings ask for."""

    events: tuple[str, ...]
    cooldown: float
    """Seconds in which the same alert is sent once."""
    webhook: Webhook | None
    mail: Mail | None


def chosen(table: Mapping[str, Any], environ: Mapping[str, str]) -> Choice:
    """Return what the table asks for, or raise ConfigError at its first fault."""
    for key in table:
        _known(key)
    if not table.keys() & {"webhook", "mail_to"}:
        raise ConfigError("plugins.alert.webhook was missing, and so was mail_to. Set one of them, or both.")
    return Choice(
        _events(table.get("events", ["nexus_alert"])),
        _cooldown(table.get("cooldown", 300)),
        _webhook(table["webhook"], environ.get(SECRET, "")) if "webhook" in table else None,
        _mail(table, environ.get(PASSWORD, "")),
    )


def _known(key: str) -> None:
    if key in SECRETS:
        raise ConfigError(
            f"plugins.alert.{key} was in the settings, which every run keeps. Take it out, and set the "
            f"environment variable {SECRETS[key]}."
        )
    if key not in KEYS:
        near = hint(key, KEYS).replace("Did you mean ", "Did you mean plugins.alert.")
        raise ConfigError(f"unknown setting plugins.alert.{repr(key)[1:-1]}.{near}")


def _events(value: Any) -> tuple[str, ...]:
    events = _listed(value)
    if not events or not all(each in EVENTS for each in events):
        raise _unfit("events", value, f"must be a list of some of {', '.join(EVENTS)}.")
    return events


def _cooldown(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= YEAR:
        raise _unfit("cooldown", value, f"must be a number in [0, {YEAR}]. It is in seconds.")
    return float(value)


def _webhook(value: Any, secret: str) -> Webhook:
    # its value is not shown: the path may hold a token
    unfit = ConfigError(
        "plugins.alert.webhook was no address to post to. It must begin with https://, or with http:// for "
        "127.0.0.1 and localhost, and hold no user, password or fragment."
    )
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise unfit
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise unfit from None
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "localhost"))
    if not safe or not host or port == 0 or parts.fragment or "@" in parts.netloc:
        raise unfit
    encrypted = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Webhook(host, port or (443 if encrypted else 80), encrypted, parts.netloc, target, secret)


def _mail(table: Mapping[str, Any], password: str) -> Mail | None:
    if "mail_to" not in table:
        if idle := [key for key in ("mail_from", "mail_host", "mail_user") if key in table]:
            raise ConfigError(f"plugins.alert.{idle[0]} was set without mail_to. Set it, or leave both out.")
        return None
    to = _listed(table["mail_to"])
    if not to or not all(map(_is_address, to)):
        raise _unfit("mail_to", table["mail_to"], "must be one mail address, or a list of some.")
    for key, example in (("mail_from", "nexus@example.org"), ("mail_host", "mail.example.org:587")):
        if key not in table:
            raise ConfigError(f"plugins.alert.{key} was missing, and mail_to needs it. Set it: {example}")
    if not _is_address(table["mail_from"]):
        raise _unfit("mail_from", table["mail_from"], "must be one mail address.")
    host, port = _host(table["mail_host"])
    return Mail(to, table["mail_from"], host, port, *_login(table.get("mail_user", ""), password))


def _host(value: Any) -> tuple[str, int]:
    found = (
        re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})", value, re.ASCII) if _is_text(value) else None
    )
    if found is None or not 1 <= int(found[2]) <= 65_535:
        # its value is not shown: somebody may have put a password before the host
        raise ConfigError("plugins.alert.mail_host was no host:port. Write it as mail.example.org:587.")
    return found[1].strip("[]"), int(found[2])


def _login(user: Any, password: str) -> tuple[str, str]:
    if not _is_text(user) or not user.isascii() or not user.isprintable():
        raise ConfigError(
            "plugins.alert.mail_user was no name in ASCII characters. Set the user of mail_host."
        )
    if user and not password:
        raise ConfigError(f"plugins.alert.mail_user was set without a password. Set {PASSWORD} beside it.")
    if user and not password.isascii():
        raise ConfigError(f"plugins.alert.mail_user needs a password in ASCII characters. Change {PASSWORD}.")
    return user, password if user else ""


def _listed(value: Any) -> tuple[str, ...]:
    """Return a list, or the parts of a text between commas; nothing where it is neither."""
    found = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    texts = isinstance(found, list | tuple) and all(map(_is_text, found))
    return tuple(dict.fromkeys(found)) if texts else ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_address(value: Any) -> bool:
    return _is_text(value) and ADDRESS.fullmatch(value) is not None and not set(value) & set(',;<>"()[]:\\')


def _unfit(key: str, value: Any, rule: str) -> ConfigError:
    return ConfigError(f"plugins.alert.{key} was {value!r}, {rule}")
