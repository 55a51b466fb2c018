"""`[plugins.alert]`: what fits, and the one line that a fault is told in."""

import re
import tomllib
from pathlib import Path

import pytest
from nexus_alert import Alerts
from nexus_alert.settings import KEYS, PASSWORD, SECRET, Mail, Webhook, chosen

from nexus_core.config import Settings
from nexus_core.errors import ConfigError

HIDDEN = "hunter2"
MAIL = {"mail_to": "a@b.c", "mail_from": "d@e.f", "mail_host": "localhost:25"}
HOOK = {"webhook": "https://example.org/x"}


def test_nothing_asked_for_is_nothing_done(said):
    alerts = Alerts()
    alerts.nexus_start("r", Settings())
    alerts.nexus_alert("r", "title", "text")
    alerts.nexus_stop("r", True)
    assert said() == []


def test_a_whole_table():
    table = {
        "webhook": "https://Example.org:8443/a/b?c=d",
        "mail_to": ["a@b.c", "d@e.f"],
        "mail_from": "g@h.i",
        "mail_host": "[::1]:587",
        "mail_user": "me",
        "events": ["nexus_stop", "nexus_trade_closed"],
        "cooldown": 1.5,
    }
    choice = chosen(table, {PASSWORD: "pass", SECRET: "key"})
    assert choice.events == ("nexus_stop", "nexus_trade_closed")
    assert choice.cooldown == 1.5
    assert choice.webhook == Webhook("example.org", 8443, True, "Example.org:8443", "/a/b?c=d", "key")
    assert choice.mail == Mail(("a@b.c", "d@e.f"), "g@h.i", "::1", 587, "me", "pass")
    assert choice.mail.local


def test_what_is_left_out():
    choice = chosen({"webhook": "http://localhost"}, {})
    assert (choice.events, choice.cooldown, choice.mail) == (("nexus_alert",), 300.0, None)
    assert choice.webhook == Webhook("localhost", 80, False, "localhost", "/", "")
    assert chosen(HOOK, {}).webhook.port == 443


def test_lists_may_be_texts_with_commas_as_a_variable_has_them():
    choice = chosen(MAIL | {"mail_to": "a@b.c, d@e.f,a@b.c", "events": "nexus_start,nexus_stop"}, {})
    assert choice.mail.to == ("a@b.c", "d@e.f")
    assert choice.events == ("nexus_start", "nexus_stop")


ADDRESS = "plugins.alert.webhook was no address to post to"
PLACE = "plugins.alert.mail_host was no host:port"
FAULTS = [
    ({"webhok": "x"}, "unknown setting plugins.alert.webhok. Did you mean plugins.alert.webhook?"),
    ({"zzz": HIDDEN}, "unknown setting plugins.alert.zzz."),
    ({"z\nz": 1}, "unknown setting plugins.alert.z\\nz."),
    (HOOK | {"mail_password": HIDDEN}, f"environment variable {PASSWORD}."),
    (HOOK | {"webhook_secret": HIDDEN}, f"environment variable {SECRET}."),
    ({"cooldown": 5}, "plugins.alert.webhook was missing, and so was mail_to."),
    *(
        ({"webhook": each}, ADDRESS)
        for each in [
            5,
            "",
            "example.org",
            "http://example.org/",
            "http://127.0.0.1.example.org/",
            "http://[::1]/",
            "ftp://localhost/",
            "https://",
            "https:///x",
            f"https://me:{HIDDEN}@example.org/",
            "https://example.org:99999/",
            "https://example.org:0/",
            "https://example.org:x/",
            "https://[::1/",
            f"https://example.org/{HIDDEN} x",
            f"https://example.org/\r\nX: {HIDDEN}",
            "https://exämple.org/",
            "https://example.org/#x",
        ]
    ),
    *((HOOK | {"events": each}, "plugins.alert.events was") for each in [[], "", 3, ["nexus_fill"], [[]]]),
    *(
        (HOOK | {"cooldown": each}, "plugins.alert.cooldown was")
        for each in [-1, True, "5", float("nan"), 4e7]
    ),
    *((MAIL | {"mail_to": each}, "plugins.alert.mail_to was") for each in [[], "", "a", "a@b\nc@d", [1], 2]),
    *(
        (MAIL | {"mail_from": each}, "plugins.alert.mail_from was")
        for each in ["", "A <a@b.c>", 1, "a@b,c@d"]
    ),
    *(
        (MAIL | {"mail_host": each}, PLACE)
        for each in [
            "localhost",
            "localhost:",
            "x:0",
            "x:70000",
            ":25",
            f"me:{HIDDEN}@x:25",
            25,
            "x y:25",
            "x:٢",
        ]
    ),
    ({"mail_to": "a@b.c", "mail_host": "x:25"}, "plugins.alert.mail_from was missing"),
    ({"mail_to": "a@b.c", "mail_from": "a@b.c"}, "plugins.alert.mail_host was missing"),
    (HOOK | {"mail_host": "x:25"}, "plugins.alert.mail_host was set without mail_to."),
    (MAIL | {"mail_user": "me"}, f"plugins.alert.mail_user was set without a password. Set {PASSWORD}"),
    (MAIL | {"mail_user": 1}, "plugins.alert.mail_user was no name"),
    (MAIL | {"mail_user": "m\n"}, "plugins.alert.mail_user was no name"),
]


@pytest.mark.parametrize(("table", "line"), FAULTS)
def test_a_fault_is_one_line_that_names_the_key_and_the_run_goes_on(table, line, said):
    alerts = Alerts()
    alerts.nexus_start("r", Settings(plugins={"alert": table}))
    alerts.nexus_alert("r", "title", "text")
    alerts.nexus_stop("r", True)
    (told,) = said()
    assert line in told
    assert told.endswith(" The run goes on without alerts.")
    assert "\n" not in told
    assert HIDDEN not in told


def test_a_password_that_cannot_be_sent_is_not_shown():
    with pytest.raises(ConfigError, match=r"plugins\.alert\.mail_user needs a password in ASCII") as error:
        chosen(MAIL | {"mail_user": "me"}, {PASSWORD: "hünter2"})
    assert "nter2" not in str(error.value)


def test_no_repr_shows_a_secret_or_the_path_of_the_webhook():
    table = MAIL | {"webhook": "https://example.org/token?x=token", "mail_user": "me"}
    shown = repr(chosen(table, {PASSWORD: HIDDEN, SECRET: HIDDEN}))
    assert HIDDEN not in shown
    assert "token" not in shown
    assert "example.org" in shown


def test_the_readme_names_every_key_and_its_settings_fit():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(KEYS)
    table = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])
    assert chosen(table["plugins"]["alert"], {}).events == ("nexus_alert", "nexus_stop")
