"""The pretended venue's book, rebuilt by a slow book of dicts, against what the venue itself knows."""

import json
import random

import numpy as np
import pytest
from nexus_recording import Decoder
from nexus_recording.rehearsal import COIN_M, SPOT, USD_M, Venue
from nexus_recording.sync import CHANGES, RESTART

from nexus_core.market.events import BREAK, BUY, CLEAR, LAST, LEVEL, QUOTE, SNAPSHOT, TRADE

MARKETS = [SPOT, USD_M, COIN_M]


def decode(lines, names=("BTCUSDT",)):
    decoder, faults = Decoder(names), []
    return decoder, decoder.decode(b"".join(lines), faults), faults


def books(events):
    """Rebuild the book slowly; yield (last update, bids, asks) wherever it is known and whole."""
    bids, asks, known = {}, {}, False
    for event in events:
        side = bids if event["side"] == BUY else asks
        if event["kind"] == CLEAR:
            bids.clear()
            asks.clear()
            known = True
        elif event["kind"] == BREAK:
            known = False
        elif event["kind"] == LEVEL and event["size"] > 0:
            side[event["price"]] = event["size"]
        elif event["kind"] == LEVEL:
            side.pop(event["price"], None)
        if event["kind"] in (LEVEL, CLEAR) and event["flags"] & LAST and known:
            yield int(event["id"]), bids, asks


def agreeing(venue, events):
    """Count the places where best prices and sizes are the venue's; each of them must be."""
    count = 0
    for update, bids, asks in books(events):
        bid, ask = max(bids), min(asks)
        assert bid < ask
        assert (bid, bids[bid], ask, asks[ask]) == venue.best[update]
        count += 1
    return count


def kind(line):
    message = json.loads(line.partition(b" ")[2])
    return message.get("stream", "@snapshot").partition("@")[2]


def depths(lines):
    return [k for k, line in enumerate(lines) if kind(line).startswith("depth")]


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_book_is_the_venues_at_every_change(market, seed):
    venue = Venue(seed, market)
    lines = list(venue.lines(600))
    decoder, events, faults = decode(lines)
    book = decoder.books[0]
    assert not faults
    assert book["gaps"] == book["forgotten"] == book["duplicates"] == book["late"] == 0
    assert book["depth"] == len(depths(lines)) == book["applied"] + book["stale"]
    assert agreeing(venue, events) == book["applied"] + 1  # and the snapshot
    assert events["seq"].tolist() == list(range(len(events)))
    assert (np.diff(events["ts"]) >= 0).all()
    quotes = events[events["kind"] == QUOTE]
    assert len(quotes) == 2 * sum(kind(line) == "bookTicker" for line in lines)
    for bid, ask in quotes.reshape(-1, 2):
        assert (bid["price"], bid["size"], ask["price"], ask["size"]) == venue.best[int(bid["id"])]
        assert (bid["side"], ask["side"], bid["flags"] & LAST, ask["flags"] & LAST) == (1, -1, 0, 1)


@pytest.mark.parametrize("market", MARKETS)
def test_a_snapshot_that_comes_late_or_early_finds_the_changes_it_needs(market):
    for at in (0, 1, 40, 200):
        venue = Venue(at, market)
        decoder, events, _ = decode(venue.lines(300, snapshots=(at,)))
        assert decoder.books[0]["applied"] + decoder.books[0]["stale"] == decoder.books[0]["depth"]
        assert agreeing(venue, events) > 3


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("seed", range(4))
def test_every_change_that_is_missing_breaks_the_book_until_a_snapshot(market, seed):
    venue = Venue(seed, market)
    lines = list(venue.lines(900, snapshots=(5, 300, 500, 700)))
    snapshots = [k for k, line in enumerate(lines) if kind(line) == "snapshot"]
    pick = random.Random(seed)
    gone = [
        pick.choice([k for k in depths(lines) if start + 30 < k < start + 150]) for start in snapshots[:3]
    ]
    decoder, events, _ = decode(line for k, line in enumerate(lines) if k not in gone)
    assert decoder.books[0]["gaps"] == 3
    assert (events["kind"] == BREAK).sum() == 3
    assert decoder.books[0]["snapshots"] == 4
    assert agreeing(venue, events) > 50
    known = decode(lines)[1]
    assert len(events) < len(known) + 3


def test_a_start_without_a_snapshot_is_unsynced_and_its_quotes_and_trades_are_played():
    lines = list(Venue(4).lines(400, snapshots=()))
    decoder, events, _ = decode(lines)
    book = decoder.books[0]
    assert (book["state"], book["changes"], book["applied"]) == (0, len(depths(lines)), 0)
    assert set(events["kind"]) == {QUOTE, TRADE}


def test_what_waits_for_a_snapshot_is_bounded_and_what_goes_is_counted():
    lines = [b for b in Venue(5).lines(12_000, snapshots=()) if kind(b).startswith("depth")]
    decoder, events, _ = decode(lines)
    book = decoder.books[0]
    assert len(lines) > CHANGES
    assert book["forgotten"] + book["changes"] == len(lines)
    assert book["forgotten"] > 0
    assert len(events) == 0


def test_a_snapshot_after_much_was_forgotten_still_finds_its_changes():
    venue = Venue(6)
    lines = [b for b in venue.lines(12_000, snapshots=(11_900,)) if kind(b) != "trade"]
    decoder, events, _ = decode(lines)
    assert decoder.books[0]["state"] == 2
    assert agreeing(venue, events) == decoder.books[0]["applied"] + 1 > 10


def test_a_snapshot_older_than_the_changes_kept_is_not_used():
    venue = Venue(7)
    early = venue.line(venue.snapshot())
    lines = list(venue.lines(400, snapshots=(200,)))
    first = depths(lines)[0]
    decoder, events, _ = decode([*lines[first + 1 : 100], early, *lines[100:]])
    assert decoder.books[0]["unused"] == 1
    assert decoder.books[0]["snapshots"] == 1
    assert agreeing(venue, events) > 20


@pytest.mark.parametrize("market", MARKETS)
def test_what_comes_twice_is_counted_and_applied_once(market):
    venue = Venue(8, market)
    lines = list(venue.lines(500))
    decoder, events, _ = decode(lines)
    twice, again, _ = decode(each for line in lines for each in (line, line))
    plain, doubled = decoder.books[0], twice.books[0]
    for name in ("price", "size", "id", "kind", "side", "flags"):
        np.testing.assert_array_equal(again[name], events[name])
    assert doubled["trade_duplicates"] == plain["trades"]
    assert doubled["quote_duplicates"] == plain["quotes"]
    assert doubled["depth"] == 2 * plain["depth"]
    lost = doubled["applied"] + doubled["stale"] + doubled["duplicates"]
    assert (doubled["gaps"], doubled["late"], lost) == (0, 0, doubled["depth"])


@pytest.mark.parametrize("market", MARKETS)
def test_changes_out_of_order_break_the_book_and_the_snapshot_sorts_them(market):
    venue = Venue(9, market)
    lines = list(venue.lines(700, snapshots=(5, 400)))
    one, other = depths(lines)[20:22]
    lines[one], lines[other] = lines[other], lines[one]
    decoder, events, _ = decode(lines)
    book = decoder.books[0]
    assert (book["gaps"], book["late"], book["snapshots"]) == (1, 1, 2)
    assert book["applied"] + book["stale"] == book["depth"]
    assert agreeing(venue, events) > 50


def test_trades_out_of_order_are_played_once_and_missing_ones_are_counted():
    lines = [b for b in Venue(10).lines(600) if kind(b) == "trade"]
    swapped = [*lines[:5], lines[6], lines[5], *lines[7:20], *lines[23:30], lines[28], *lines[30:]]
    decoder, events, _ = decode(swapped)
    book = decoder.books[0]
    assert (book["trade_late"], book["trade_gaps"], book["missing"]) == (1, 2, 3)
    assert book["trade_duplicates"] == 1
    assert sorted(events["id"]) == sorted(set(range(5001, 5001 + len(lines))) - {5021, 5022, 5023})


def test_a_venue_that_counts_anew_is_found_out():
    venue, anew = Venue(11), Venue(12)
    venue.update += 5_000_000
    venue._previous = venue.update
    later = list(anew.lines(1_500, snapshots=(1_300,)))
    decoder, events, _ = decode([*venue.lines(200), *later])
    book = decoder.books[0]
    assert (book["restarts"], book["gaps"], book["late"]) == (1, 1, RESTART - 1)
    assert book["state"] == 2
    assert (events["kind"] == BREAK).sum() == 1


def test_a_snapshot_is_marked_and_its_last_level_ends_it():
    venue = Venue(13)
    _, events, _ = decode([venue.line(venue.snapshot())])
    assert events["kind"].tolist() == [CLEAR] + [LEVEL] * (len(venue.bids) + len(venue.asks))
    assert (events["flags"][:-1] == SNAPSHOT).all()
    assert events["flags"][-1] == SNAPSHOT | LAST


def test_symbols_have_books_of_their_own():
    one, other = Venue(14, COIN_M, "BTCUSD_PERP"), Venue(15, COIN_M, "ETHUSD_PERP")
    pairs = zip(one.lines(400), other.lines(400), strict=True)
    decoder, events, faults = decode([b for pair in pairs for b in pair], ("ETHUSD_PERP", "BTCUSD_PERP"))
    assert not faults
    assert agreeing(one, events[events["symbol"] == 1]) > 50
    assert agreeing(other, events[events["symbol"] == 0]) > 50
    assert decoder.books["gaps"].tolist() == [0, 0]
