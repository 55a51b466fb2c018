"""Sessions, signatures, checks of market data, and input that is made harmless."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from nexus_services.security import AuthenticatedMarketData, FeedSecurity, SecurityManager, sanitise

from nexus_core.config import Security
from nexus_core.errors import ConfigError, DataError, RefusedError
from nexus_core.types import MarketData

MASTER = bytes(range(32))
SECOND = 1_000_000_000
NOW = 1_772_373_900 * SECOND
GOOD = MarketData("BTC-USD", NOW, price=100.0, volume=2.0, bid=99.0, ask=101.0)


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager(clock):
    return SecurityManager(Security(), MASTER, clock)


def hmac_sha256(key, message):
    # RFC 2104, written out: keys of at most 64 bytes are padded with zeros.
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


@given(st.binary(min_size=32, max_size=32), st.text(st.characters(codec="utf-8")), st.binary())
def test_keys_and_signatures_are_hmac_sha256(master, session, data):
    manager = SecurityManager(Security(), master)
    key = hmac_sha256(master, session.encode())
    assert manager.generate_session_key(session) == key
    assert manager.create_signature(data, session) == hmac_sha256(key, data)
    assert manager.verify_signature(data, hmac_sha256(key, data), session)


@given(st.binary(min_size=1), st.data())
def test_one_changed_bit_of_data_or_signature_fails(data, draw):
    manager = SecurityManager(Security(), MASTER)
    signature = manager.create_signature(data, "s")

    def flipped(whole):
        bit = draw.draw(st.integers(0, 8 * len(whole) - 1))
        return (int.from_bytes(whole) ^ (1 << bit)).to_bytes(len(whole))

    assert not manager.verify_signature(flipped(data), signature, "s")
    assert not manager.verify_signature(data, flipped(signature), "s")
    assert manager.verify_signature(data, signature, "s")


@pytest.mark.parametrize("signature", [b"", b"short", bytes(31), bytes(32), bytes(33)])
def test_a_signature_of_any_length_is_only_wrong(manager, signature):
    manager.generate_session_key("s")
    assert manager.verify_signature(b"data", signature, "s") is False


def test_a_signature_counts_in_its_own_session_only(manager):
    signature = manager.create_signature(b"data", "a")
    manager.generate_session_key("b")
    assert not manager.verify_signature(b"data", signature, "b")


def test_a_session_id_that_is_no_valid_unicode_has_a_key_too(manager):
    assert len(manager.generate_session_key("\ud800")) == 32


def test_without_a_master_key_each_manager_makes_its_own(monkeypatch):
    made = []

    def token_bytes(size):
        made.append(bytes([len(made)]) * size)
        return made[-1]

    monkeypatch.setattr(secrets, "token_bytes", token_bytes)
    keys = [SecurityManager(Security()).generate_session_key("s") for _ in range(2)]
    assert keys == [hmac_sha256(bytes(32), b"s"), hmac_sha256(b"\1" * 32, b"s")]


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_master_key_of_another_length_is_refused(length):
    with pytest.raises(ConfigError) as refused:
        SecurityManager(Security(), bytes(length))
    assert str(refused.value) == f"security: the master key was {length} bytes long; give 32."


def test_a_session_ends_after_its_life_however_much_it_is_used(manager, clock):
    signature = manager.create_signature(b"data", "s")
    for _ in range(3):
        clock.now += 1_199.0
        assert manager.verify_signature(b"data", signature, "s")
    clock.now += 2.5  # 3,599.5 s
    assert manager.verify_signature(b"data", signature, "s")
    clock.now += 0.5
    for use in (
        lambda: manager.verify_signature(b"data", signature, "s"),
        lambda: manager.create_signature(b"data", "s"),
        lambda: manager.generate_session_key("s"),
    ):
        with pytest.raises(RefusedError) as refused:
            use()
        text = "session 's' was over 3600 s after its beginning; begin one under a new id."
        assert str(refused.value) == text
    assert manager.verify_signature(b"data", manager.create_signature(b"data", "t"), "t")


def test_asking_for_the_key_again_makes_a_session_no_younger(manager, clock):
    manager.generate_session_key("s")
    clock.now += 3_000.0
    manager.generate_session_key("s")
    clock.now += 600.0
    with pytest.raises(RefusedError, match="was over 3600 s"):
        manager.generate_session_key("s")


def test_failures_in_a_row_lock_a_session_for_good(manager, clock):
    signature = manager.create_signature(b"data", "s")
    for _ in range(4):
        assert not manager.verify_signature(b"data", b"wrong", "s")
    assert manager.verify_signature(b"data", signature, "s")  # counting begins anew
    for _ in range(5):
        assert not manager.verify_signature(b"data", b"wrong", "s")
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            manager.verify_signature(b"data", signature, "s")
        text = "session 's' was locked by 5 failed verifications in a row; begin one under a new id."
        assert str(refused.value) == text
        clock.now += 4_000.0
    with pytest.raises(RefusedError, match="locked"):
        manager.generate_session_key("s")
    assert len(manager.generate_session_key("t")) == 32


def test_one_failed_attempt_may_be_one_too_many():
    manager = SecurityManager(Security(max_failed_attempts=1), MASTER)
    manager.generate_session_key("s")
    assert not manager.verify_signature(b"", b"", "s")
    with pytest.raises(RefusedError, match="locked by 1 failed"):
        manager.verify_signature(b"", b"", "s")


def test_a_stranger_begins_no_session(manager):
    right = SecurityManager(Security(), MASTER).create_signature(b"data", "s")
    for _ in range(7):
        with pytest.raises(RefusedError) as refused:
            manager.verify_signature(b"data", right, "s")
        text = "session 's' was not begun; begin it with generate_session_key."
        assert str(refused.value) == text
    manager.generate_session_key("s")
    assert manager.verify_signature(b"data", right, "s")


def test_a_long_session_id_is_cut_in_the_message(manager):
    with pytest.raises(RefusedError) as refused:
        manager.verify_signature(b"", b"", "x\n" * 10_000)
    assert len(str(refused.value)) < 160
    assert "\n" not in str(refused.value)


def test_without_authentication_everything_verifies_after_one_warning(clock, caplog):
    with caplog.at_level("WARNING", logger="nexus"):
        manager = SecurityManager(Security(enable_authentication=False), MASTER, clock)
        for _ in range(10):
            assert manager.verify_signature(b"data", b"wrong", "never begun")
        signed = manager.create_signature(b"data", "s")
        clock.now += 1e9
        assert manager.create_signature(b"data", "s") == signed
    assert caplog.messages == ["security.enable_authentication was false: every signature counts as right."]


def test_with_authentication_there_is_no_warning(caplog):
    SecurityManager(Security())
    assert caplog.messages == []


def test_keys_stand_in_no_repr_message_or_traceback(clock, caplog):
    master = b"\x0bMASTER-KEY-of-thirty-two-bytes!"
    manager = SecurityManager(Security(max_failed_attempts=1), master, clock)
    key = manager.generate_session_key("s")
    texts = [repr(manager), str(manager), f"{manager}"]

    def told(use):
        with pytest.raises((ConfigError, RefusedError)) as refused:
            use()
        texts.append(repr(refused.value))
        texts.extend(traceback.format_exception(refused.value))

    told(lambda: SecurityManager(Security(), master + b"x"))
    told(lambda: manager.verify_signature(b"", b"", "unknown"))
    assert not manager.verify_signature(b"", b"", "s")
    told(lambda: manager.generate_session_key("s"))
    manager.generate_session_key("old")
    clock.now += 3_600.0
    told(lambda: manager.create_signature(b"", "old"))
    SecurityManager(Security(enable_authentication=False), master)
    texts += caplog.messages
    for secret in (master, key):
        for form in (repr(secret)[2:-1], secret.hex(), str(list(secret))):
            assert not [text for text in texts if form in text]


def test_threads_cannot_try_more_often_than_the_limit():
    manager = SecurityManager(Security(max_failed_attempts=20), MASTER)
    manager.generate_session_key("s")
    begin = threading.Barrier(8)

    def guess(_):
        begin.wait()
        answers = []
        for _ in range(50):
            try:
                answers.append(manager.verify_signature(b"data", b"wrong", "s"))
            except RefusedError:
                answers.append("refused")
        return answers

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for each in pool.map(guess, range(8)) for answer in each]
    assert answers.count(False) == 20
    assert answers.count("refused") == 380


def test_threads_that_sign_and_verify_all_succeed():
    manager = SecurityManager(Security(max_failed_attempts=1), MASTER)
    begin = threading.Barrier(8)

    def work(n):
        begin.wait()
        return all(
            manager.verify_signature(data, manager.create_signature(data, session), session)
            for data, session in ((f"{n} {k}".encode(), f"session {k % 7}") for k in range(200))
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"volume": 0.0},
        {"volume": math.nan},
        {"bid": math.nan},
        {"ask": math.nan},
        {"bid": math.nan, "ask": math.nan},
        {"bid": 100.0, "ask": 100.0},
        {"price": 5e-324},
        {"timestamp": NOW - 60 * SECOND},
        {"timestamp": NOW + 60 * SECOND},
    ],
)
def test_good_market_data_has_no_fault(manager, changes):
    assert manager.validate_market_data(evolve(GOOD, **changes), NOW) == []


PRICES = "market data of 'BTC-USD': price was {}, volume {}; send finite ones, above 0 and from 0 on."
TIME = "market data of 'BTC-USD': timestamp was {}; it must lie within 60 s of 1772373900000000000."


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"symbol": ""}, "market data of '': the symbol was blank; name one."),
        ({"symbol": " \t"}, "market data of ' \\t': the symbol was blank; name one."),
        ({"price": 0.0}, PRICES.format(0.0, 2.0)),
        ({"price": -1.0}, PRICES.format(-1.0, 2.0)),
        ({"price": math.nan}, PRICES.format("nan", 2.0)),
        ({"price": math.inf}, PRICES.format("inf", 2.0)),
        ({"volume": -1.0}, PRICES.format(100.0, -1.0)),
        ({"volume": math.inf}, PRICES.format(100.0, "inf")),
        ({"timestamp": NOW - 60 * SECOND - 1}, TIME.format(1_772_373_839_999_999_999)),
        ({"timestamp": NOW + 60 * SECOND + 1}, TIME.format(1_772_373_960_000_000_001)),
        ({"timestamp": math.nan}, TIME.format("nan")),
        (
            {"bid": 101.5},
            "market data of 'BTC-USD': bid was 101.5, above the ask, 101.0; look at its feed.",
        ),
        ({"price": "100"}, "market data was not readable (TypeError); look at its feed."),
        ({"symbol": None}, "market data was not readable (AttributeError); look at its feed."),
        ({"bid": object()}, "market data was not readable (TypeError); look at its feed."),
    ],
)
def test_each_fault_of_market_data_is_a_sentence(manager, changes, sentence):
    assert manager.validate_market_data(evolve(GOOD, **changes), NOW) == [sentence]


def test_every_fault_is_found_and_an_exception_is_the_last(manager):
    bad = MarketData("", NOW - 61 * SECOND, price=-1.0, volume=-1.0, bid=2.0, ask=1.0)
    found = manager.validate_market_data(bad, NOW)
    assert [word in each for word, each in zip(("blank", "price", "timestamp", "bid"), found, strict=True)]
    broken = manager.validate_market_data(evolve(bad, bid="2"), NOW)
    assert broken[:3] == found[:3]
    assert broken[3:] == ["market data was not readable (TypeError); look at its feed."]


def test_what_raises_while_it_is_looked_at_raises_no_further(manager):
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError("x" * 10_000)

    class Mute(float):
        def __format__(self, spec):
            raise ValueError

    unreadable = "market data was not readable ({}); look at its feed."
    assert manager.validate_market_data(Hostile(), NOW) == [unreadable.format("RuntimeError")]
    assert manager.validate_market_data(None, NOW) == [unreadable.format("AttributeError")]
    mute = evolve(GOOD, price=Mute(-1.0))
    assert manager.validate_market_data(mute, NOW) == [unreadable.format("ValueError")]


def test_the_clock_drift_is_the_setting():
    manager = SecurityManager(Security(clock_drift=0.5))
    assert manager.validate_market_data(evolve(GOOD, timestamp=NOW - SECOND // 2), NOW) == []
    late = evolve(GOOD, timestamp=NOW - SECOND // 2 - 1)
    assert "within 0.5 s" in manager.validate_market_data(late, NOW)[0]


def test_a_long_symbol_is_cut_in_the_sentence(manager):
    (sentence,) = manager.validate_market_data(evolve(GOOD, symbol="X\n" * 5_000, price=0.0), NOW)
    assert len(sentence) < 160
    assert "\n" not in sentence


ANY = st.floats() | st.integers() | st.text(max_size=3) | st.none()


@given(ANY, ANY, ANY, ANY, ANY, ANY)
@example("BTC-USD", NOW, 1.0, 1.0, 1.0, 1.0)
def test_checking_market_data_never_raises(symbol, timestamp, price, volume, bid, ask):
    found = SecurityManager(Security()).validate_market_data(
        MarketData(symbol, timestamp, price, volume, bid, ask), NOW
    )
    assert all(isinstance(each, str) and each.endswith(".") for each in found)
    if not found:
        assert symbol.strip()
        assert 0 < price < math.inf
        assert not volume < 0
        assert abs(timestamp - NOW) <= 60 * SECOND
        assert not bid > ask


def test_strings_lose_their_nul_characters_and_then_their_length():
    assert sanitise("a\0b\0") == "ab"
    assert sanitise("\0" * 500 + "x" * 1000 + "y") == "x" * 1000
    assert sanitise("x" * 1000) == "x" * 1000


def test_dicts_lists_and_tuples_are_gone_through_and_all_else_is_left():
    other, raw = object(), b"\0raw"
    given = {"k\0": ["\0a", ("b\0", {"\0c": "d" * 1001})], ("e\0", 1): None, 2: other, 3.5: raw, 4: {"f\0"}}
    assert sanitise(given) == {
        "k": ["a", ("b", {"c": "d" * 1000})],
        ("e", 1): None,
        2: other,
        3.5: raw,
        4: {"f\0"},
    }
    assert given["k\0"][0] == "\0a"  # what was given is not changed


def test_keys_that_would_become_the_same_are_refused():
    with pytest.raises(DataError) as refused:
        sanitise([{"admin": False, "ad\0min": True}])
    assert str(refused.value) == "input: two keys of a dict were the same once cleaned; send each once."


def nested(levels, wrap):
    value = "x\0"
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("wrap", "most"),
    [(lambda v: [v], 100), (lambda v: (v,), 100), (lambda v: {1: v}, 100), (lambda v: [{1: (v,)}], 33)],
)
def test_a_hundred_levels_are_the_most(wrap, most):
    assert list(strings(sanitise(nested(most, wrap)))) == ["x"]
    for levels in (most + 1, 50_000):
        with pytest.raises(DataError) as refused:
            sanitise(nested(levels, wrap))
        text = "input: dicts, lists and tuples were nested too deeply; send it flatter."
        assert str(refused.value) == text


def test_keys_are_as_deep_as_what_they_are_in():
    (key,) = sanitise({nested(99, lambda v: (v,)): 1})
    assert list(strings(key)) == ["x"]
    with pytest.raises(DataError, match="too deeply"):
        sanitise({nested(100, lambda v: (v,)): 1})


def test_what_holds_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(DataError, match="too deeply"):
        sanitise(loop)


PLAIN = st.text(max_size=5) | st.just("\0" + "z" * 1001) | st.integers() | st.binary(max_size=3) | st.none()
TREES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text("ab", max_size=3), inner, max_size=4)
    ),
    max_leaves=15,
)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from strings(pair)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings(each)


@given(TREES)
def test_clean_input_keeps_its_shape_and_stays_clean(value):
    clean = sanitise(value)
    assert type(clean) is type(value)
    assert list(strings(clean)) == [each.replace("\0", "")[:1000] for each in strings(value)]
    assert sanitise(clean) == clean
    if all("\0" not in each and len(each) <= 1000 for each in strings(value)):
        assert clean == value


def test_a_feed_is_believed_if_signed_well_formed_and_fresh():
    manager = SecurityManager(Security())
    feed, now = FeedSecurity(manager), 1_772_373_900_000_000_000
    data = MarketData("BTC-USD", now - 10_000_000_000, 100.0, 2.0, 99.5, 100.5)
    signature = manager.create_signature(b"as it came", "feed")
    believed = feed.authenticate(b"as it came", signature, "feed", data, now)
    assert believed == AuthenticatedMarketData("BTC-USD", 100.0, 2.0, 99.5, 100.5, authenticated=True)
    with pytest.raises(RefusedError, match="BTC-USD: the signature does not fit the message"):
        feed.authenticate(b"as it came!", signature, "feed", data, now)
    with pytest.raises(RefusedError, match=r"BTC-USD: was 10\.1 s old, may be 10 s\."):
        feed.authenticate(b"as it came", signature, "feed", data, now + 100_000_000)
    with pytest.raises(RefusedError, match=r"BTC-USD: .*price"):
        feed.authenticate(b"as it came", signature, "feed", evolve(data, price=0.0), now)
