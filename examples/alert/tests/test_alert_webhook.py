"""Messages by HTTP: what arrives, and what becomes of those that do not."""

import hmac
import json
import re
import time

import pytest
from nexus_alert import Alerts, post
from nexus_alert.settings import SECRET

from nexus_core.config import Settings

RUN = "2026-03-02-000000-abcd"


@pytest.fixture
def alerts():
    """Return what has begun to listen for a run, by the settings given."""
    listener = Alerts()

    def begin(address, **more):
        listener.nexus_start(RUN, Settings(plugins={"alert": {"webhook": address, **more}}))
        return listener

    yield begin
    listener.nexus_stop(RUN, True)


def end(listener):
    listener.nexus_stop(RUN, True)


def bodies(web):
    return [json.loads(body) for _, _, body in web.got]


def test_an_alert_arrives_as_json(web, alerts, said):
    end_of = alerts(web.address)
    end_of.nexus_alert(RUN, "quarantine", "dip: 50 % <&> ü\n\ud800")
    end(end_of)
    ((path, headers, body),) = web.got
    told = json.loads(body)
    assert path == "/hook?a=b"
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{web.server_port}"
    assert "X-Nexus-Signature" not in headers
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,9}Z", told.pop("time"))
    assert re.fullmatch("[0-9a-f]{32}", told.pop("id"))
    assert told == {
        "run": RUN,
        "event": "nexus_alert",
        "title": "quarantine",
        "text": "dip: 50 % <&> ü\n?",
        "repeats": 0,
        "dropped": 0,
    }
    assert said() == []


def test_a_secret_signs_the_body_and_is_never_sent(web, alerts, monkeypatch):
    monkeypatch.setenv(SECRET, "kéy")
    listener = alerts(web.address)
    listener.nexus_alert(RUN, "paused", "the feed was silent")
    end(listener)
    ((_, headers, body),) = web.got
    assert headers["X-Nexus-Signature"] == hmac.new("kéy".encode(), body, "sha256").hexdigest()
    assert "kéy" not in f"{headers}{body.decode()}"


@pytest.mark.parametrize("answers", [[500, 204], [503, 500, 200], [429, 204]])
def test_a_server_that_fails_for_a_moment_is_tried_again_with_the_same_message(answers, web, alerts, said):
    web.answers = list(answers)
    listener = alerts(web.address)
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert len(web.got) == len(answers)
    assert len({body for _, _, body in web.got}) == 1
    assert said() == []


def test_a_server_that_fails_is_told_of_once_and_counted(web, alerts, said):
    web.answers = [500]
    listener = alerts(web.address)
    for n in range(3):
        listener.nexus_alert(RUN, "paused", f"text {n}")
    end(listener)
    assert len(web.got) == 9
    assert said() == [
        "alert: webhook 127.0.0.1: answered 500. The run goes on; more of the kind are only counted.",
        "alert: messages not delivered: 3 (webhook 127.0.0.1: answered 500).",
    ]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status, webs, alerts, said):
    web, other = webs(), webs()
    web.answers, web.headers = [status], {"Location": other.address}
    listener = alerts(web.address)
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert (len(web.got), other.got) == (1, [])
    assert f"answered {status}, and no redirect is followed" in said()[0]


def test_what_is_refused_for_good_is_not_tried_again(web, alerts, said):
    web.answers = [403]
    listener = alerts(web.address)
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert len(web.got) == 1
    assert "answered 403" in said()[0]


def test_a_server_that_is_down_harms_nothing(nobody, alerts, said):
    listener = alerts(f"http://127.0.0.1:{nobody}/token")
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert "alert: webhook 127.0.0.1: Connection refused." in said()[0]
    assert "token" not in "".join(said())


@pytest.mark.parametrize("trickles", [False, True])
def test_a_server_that_dawdles_is_given_up(trickles, web, alerts, monkeypatch, said):
    monkeypatch.setattr(post, "PAUSES", ())
    monkeypatch.setattr(post, "PATIENCE", 0.2)
    web.trickles = trickles
    if not trickles:
        web.go_on.clear()
    listener = alerts(web.address)
    listener.nexus_alert(RUN, "paused", "text")
    web.came.acquire()
    while not said():
        time.sleep(0.01)
    assert "alert: webhook 127.0.0.1: no answer in time." in said()[0]


def test_the_end_waits_no_longer_than_its_patience_and_tells_what_is_left(web, alerts, monkeypatch, said):
    web.go_on.clear()
    listener = alerts(web.address)
    for n in range(4):
        listener.nexus_alert(RUN, "paused", f"text {n}")
    web.came.acquire()
    monkeypatch.setattr(post, "PATIENCE", 0.1)
    end(listener)
    assert said() == ["alert: messages not delivered: 4 (the run ended first)."]
    web.go_on.set()


def test_a_certificate_that_nobody_vouches_for_is_refused(webs, alerts, said):
    web = webs(encrypted=True)
    listener = alerts(web.address.replace("http:", "https:"))
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert web.got == []
    assert "certificate verify failed" in said()[0]


def test_an_encrypted_server_is_reached(webs, alerts, certificate, said):
    web = webs(encrypted=True)
    listener = alerts(web.address.replace("http:", "https:"))
    listener.nexus_alert(RUN, "paused", "text")
    end(listener)
    assert [each["title"] for each in bodies(web)] == ["paused"]
    assert said() == []


def test_two_runs_of_one_process_do_not_mix(webs, said):
    listener, servers = Alerts(), {name: webs() for name in ("one", "two")}
    for name, web in servers.items():
        listener.nexus_start(name, Settings(plugins={"alert": {"webhook": web.address}}))
    for name in servers:
        listener.nexus_alert(name, "paused", "text")
        listener.nexus_stop(name, True)
    assert [[each["run"] for each in bodies(web)] for web in servers.values()] == [["one"], ["two"]]
