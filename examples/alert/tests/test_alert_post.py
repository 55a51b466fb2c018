"""Queue, cooldown and events: which messages leave, and what they say of those that do not."""

import json
import threading
from decimal import Decimal

import pytest
from nexus_alert import Alerts, repeats
from nexus_alert.message import LONGEST, Message
from nexus_alert.post import FailedError, Post
from nexus_alert.repeats import Repeats

import nexus_core.testing.others  # noqa: F401  (lays the checks down)
from nexus_core.config import Settings
from nexus_core.testing.contract import examine, subject
from nexus_core.types import Side, Trade, ns

RUN = "r1"


def news(text="text", event="nexus_alert", title="title"):
    return Message(RUN, event, title, text, "2026-03-02T00:00:00Z")


class Line:
    """Takes messages; while it is shut, the first one waits in it."""

    def __init__(self, shut=False, faults=0):
        self.got, self.faults = [], faults
        self.came, self.open = threading.Event(), threading.Event()
        if not shut:
            self.open.set()

    def send(self, message, _deadline):
        self.came.set()
        self.open.wait()
        if self.faults:
            self.faults -= 1
            raise FailedError("answered 403", final=True)
        self.got.append(message)

    def counts(self):
        return [(each.text, each.repeats, each.dropped) for each in self.got]


def test_the_oldest_gives_way_and_the_next_message_tells_how_many_did(said):
    line = Line(shut=True)
    post = Post({"line": line.send}, Repeats(0), room=3)
    post.put(news("0"))
    line.came.wait()
    for n in range(1, 8):
        post.put(news(f"{n}"))
    line.open.set()
    post.close()
    assert line.counts() == [("0", 0, 0), ("5", 0, 4), ("6", 0, 0), ("7", 0, 0)]
    assert said() == ["alert: messages not delivered: 4 (too many waited)."]


def test_a_count_of_dropped_messages_that_did_not_arrive_is_told_by_the_next():
    line = Line(shut=True)
    post = Post({"line": line.send}, Repeats(0), room=1)
    post.put(news("0"))
    line.came.wait()
    line.faults = 2  # the first message fails, and so does the one with the count
    post.put(news("1"))
    post.put(news("2"))
    line.open.set()
    while line.faults:
        threading.Event().wait(0.01)
    post.put(news("3"))
    post.close()
    assert line.counts() == [("3", 0, 1)]


def test_the_same_alert_is_sent_once_in_its_cooldown_and_the_next_tells_of_the_others():
    now, found = [0.0], []
    cool = Repeats(300, lambda: now[0])
    for now[0], text in [
        (0, "a"),
        (1, "a"),
        (2, "b"),
        (299, "a"),
        (300, "a"),
        (301, "a"),
        (700, "a"),
        (1000, "a"),
    ]:
        admitted = cool.admit(news(text))
        found.append(None if admitted is None else admitted.repeats)
    assert found == [0, None, 0, None, 2, None, 1, 0]
    assert cool.held() == 0


def test_another_title_is_another_alert():
    cool = Repeats(300)
    assert all(cool.admit(news(title=each)) for each in "ab")


def test_an_alert_that_reached_nobody_is_not_held_back_when_it_comes_again():
    cool = Repeats(300)
    first = cool.admit(news())
    assert cool.admit(news()) is None
    cool.lost(first)
    assert cool.admit(news()).repeats == 1


def test_an_alert_that_was_not_delivered_arrives_when_it_comes_again():
    line = Line(faults=1)
    post = Post({"line": line.send}, Repeats(300))
    for _ in range(1000):
        post.put(news())
        if line.got:
            break
        threading.Event().wait(0.005)
    post.close()
    assert [each.text for each in line.got] == ["text"]


def test_only_so_many_alerts_are_remembered(monkeypatch):
    monkeypatch.setattr(repeats, "KNOWN", 2)
    cool = Repeats(300)
    assert [cool.admit(news(each)) is None for each in "abca"] == [False, False, False, False]
    assert cool.admit(news("c")) is None


def test_repeats_that_no_message_told_of_are_told_of_at_the_end(said):
    line = Line()
    post = Post({"line": line.send}, Repeats(300))
    for _ in range(3):
        post.put(news())
    post.close()
    assert line.counts() == [("text", 0, 0)]
    assert said() == ["alert: repeats of alerts that no message told of: 2."]


def test_what_is_no_alert_has_no_cooldown():
    line = Line()
    post = Post({"line": line.send}, Repeats(300))
    for _ in range(2):
        post.put(news(event="nexus_trade_closed"))
    post.close()
    assert len(line.got) == 2


def test_one_channel_that_fails_keeps_nothing_from_the_other(said):
    good = Line()

    def bad(message, deadline):
        raise ValueError("hunter2")

    post = Post({"bad": bad, "good": good.send}, Repeats(300))
    post.put(news())
    post.close()
    assert len(good.got) == 1
    assert said() == [
        "alert: bad: ValueError. The run goes on; more of the kind are only counted.",
        "alert: messages not delivered: 1 (bad: ValueError).",
    ]


def test_long_words_are_cut_and_a_title_is_one_line():
    message = news("x" * 2 * LONGEST, title="a\r\nBcc: b\x00" + "y" * LONGEST)
    assert len(message.text) == LONGEST
    assert message.title.startswith("a Bcc: b")
    assert len(message.title) == 100


ALL = ["nexus_start", "nexus_alert", "nexus_trade_closed", "nexus_stop"]


@pytest.mark.parametrize(
    "events", [ALL, ["nexus_alert"], ["nexus_trade_closed"], ["nexus_start", "nexus_stop"]]
)
def test_only_what_is_asked_for_is_told(events, web):
    listener, opened = Alerts(), ns("2026-03-02T00:01:00Z")
    trade = Trade(
        "BTC-USD",
        Side.BUY,
        Decimal("2E+1"),
        Decimal("-1E-8"),
        Decimal("0.5"),
        opened,
        opened + 60_000_000_000,
    )
    settings = Settings(plugins={"alert": {"webhook": web.address, "events": events}})
    listener.nexus_start(RUN, settings)
    listener.nexus_alert(RUN, "paused", "by hand")
    listener.nexus_trade_closed(RUN, trade)
    listener.nexus_stop(RUN, False)
    told = [json.loads(body) for _, _, body in web.got]
    assert [each["event"] for each in told] == events
    texts = {each["event"]: each["text"] for each in told}
    assert texts.get("nexus_trade_closed", TRADED) == TRADED
    assert texts.get("nexus_stop", STOPPED) == STOPPED


TRADED = "BTC-USD BUY 20, from 2026-03-02T00:01:00Z to 2026-03-02T00:02:00Z: -0.00000001 after 0.5 of fees."
STOPPED = "The run stopped before its end."


def test_it_keeps_the_contract_of_a_listener():
    report = examine(subject("hooks", "alert"))
    assert [each for each in report.findings if each.outcome == "failed"] == []
