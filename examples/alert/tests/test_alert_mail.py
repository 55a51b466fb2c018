"""Messages by mail: the letter, encryption, the password, and servers that refuse."""

import email
import email.policy
import time

import pytest
from nexus_alert import Alerts, mail, post, settings
from nexus_alert.settings import PASSWORD

from nexus_core.config import Settings

HIDDEN = "hunter2"


def begun(box, **more):
    table = {"mail_to": ["a@b.c", "d@e.f"], "mail_from": "g@h.i", "mail_host": f"127.0.0.1:{box.port}"}
    listener = Alerts()
    listener.nexus_start("r1", Settings(plugins={"alert": table | more}))
    return listener


def mailed(box, **more):
    listener = begun(box, **more)
    listener.nexus_alert("r1", "quarantine\r\nBcc: x@y.z", "dip: 3 faults ü")
    listener.nexus_stop("r1", True)


@pytest.fixture
def login(monkeypatch):
    monkeypatch.setenv(PASSWORD, HIDDEN)
    return {"mail_user": "me"}


@pytest.fixture
def nowhere_local(monkeypatch):
    """Make every server one that is reached over a wire."""
    monkeypatch.setattr(settings, "LOCAL", set())


def test_a_letter(mailbox, said):
    box = mailbox()
    mailed(box)
    (text,) = box.letters
    letter = email.message_from_bytes(text, policy=email.policy.default)
    assert (letter["From"], letter["To"]) == ("g@h.i", "a@b.c, d@e.f")
    assert letter["Subject"] == "Nexus: quarantine Bcc: x@y.z (r1)"
    assert letter["Bcc"] is None
    assert letter["Message-ID"].endswith("@h.i>")
    assert letter["Date"]
    first, empty, told, *_ = letter.get_content().splitlines()
    assert (first, empty) == ("dip: 3 faults ü", "")
    assert told.startswith("nexus_alert of run r1 at 20")
    assert box.heard == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]
    assert said() == []


def test_what_came_again_and_what_was_dropped_stand_in_the_letter():
    words = mail.Message("r", "nexus_alert", "t", "x", "now", repeats=2, dropped=3).words()
    assert "Held back since it was last sent, because it was the same: 2." in words
    assert "Messages dropped before this one, because too many waited: 3." in words


def test_a_password_goes_to_this_machine_in_the_open(mailbox, login, said):
    box = mailbox("AUTH PLAIN")
    mailed(box, **login)
    assert box.login == f"\0me\0{HIDDEN}"
    assert len(box.letters) == 1
    assert said() == []


def test_a_password_never_goes_over_an_open_wire(mailbox, login, nowhere_local, said):
    box = mailbox("AUTH PLAIN")
    mailed(box, **login)
    assert (box.login, box.letters) == ("", [])
    assert box.heard == ["EHLO"]
    assert "offers no STARTTLS, and a password is not sent in the open" in said()[0]


@pytest.mark.parametrize("trusted", [True, False])
def test_what_is_offered_encryption_is_encrypted(trusted, mailbox, login, request, said):
    if trusted:
        request.getfixturevalue("nowhere_local")
        request.getfixturevalue("certificate")
    box = mailbox("STARTTLS", "AUTH PLAIN")
    mailed(box, **login)
    assert box.heard == ["EHLO", "STARTTLS", "*EHLO", "*AUTH", "*MAIL", "*RCPT", "*RCPT", "*DATA", "*QUIT"]
    assert box.login == f"\0me\0{HIDDEN}"
    assert said() == []


def test_a_certificate_that_nobody_vouches_for_gets_no_password(mailbox, login, nowhere_local, said):
    box = mailbox("STARTTLS", "AUTH PLAIN")
    mailed(box, **login)
    assert (box.login, box.letters) == ("", [])
    assert "certificate verify failed" in said()[0]


REFUSALS = [
    ({"AUTH": [f"535 not {HIDDEN}"]}, "refused the user or the password with 535", 1),
    ({"MAIL": [f"550 not {HIDDEN}"]}, "answered 550", 1),
    ({"MAIL": [f"451 not {HIDDEN}"]}, "answered 451", 3),
    ({"RCPT": [f"550 not {HIDDEN}"]}, "refused 2 of 2 recipients", 1),
    ({"DATA": [f"554 not {HIDDEN}"]}, "answered 554", 1),
    ({"EHLO": ["garbage"]}, "offers no login", 1),
]


@pytest.mark.parametrize(("answers", "line", "tries"), REFUSALS)
def test_a_refusal_is_told_by_its_code_alone(answers, line, tries, mailbox, login, said):
    box = mailbox("AUTH PLAIN", answers=answers)
    mailed(box, **login)
    assert box.letters == []
    assert line in said()[0]
    assert box.heard.count("EHLO") == tries
    assert HIDDEN not in "".join(said())


def test_a_server_that_hangs_up_after_the_letter_has_it_all_the_same(mailbox, said):
    box = mailbox(answers={"QUIT": ["what"]})
    mailed(box)
    assert len(box.letters) == 1
    assert said() == []


def test_a_server_that_dawdles_is_given_up(mailbox, monkeypatch, said):
    monkeypatch.setattr(post, "PATIENCE", 0.2)
    monkeypatch.setattr(post, "PAUSES", ())
    box = mailbox(answers={"MAIL": []})
    listener = begun(box)
    listener.nexus_alert("r1", "paused", "text")
    while not said():
        time.sleep(0.01)
    listener.nexus_stop("r1", True)
    assert "alert: mail by 127.0.0.1: hung up, or answered too slowly." in said()[0]


def test_a_server_that_is_down_harms_nothing(nobody, said):
    class Down:
        port = nobody

    mailed(Down)
    assert "alert: mail by 127.0.0.1: Connection refused." in said()[0]
