import math
from statistics import NormalDist

import numpy as np
import pytest
from nexus_synthetic import draws
from nexus_synthetic.symbols import keys

from nexus_core import compile

GOLDEN, ALL = 0x9E3779B97F4A7C15, 2**64 - 1

_DRAW = """
def entry(draws, keys, places):
    for i in range(places.size):
        places[i] = place(i)
    fill(draws, keys, places, places.size)
"""
_EACH = """
def entry(x, powers, uniforms, logs, exps, mixed, normals):
    for i in range(x.size):
        uniforms[i] = uniform(mixed[i], mixed[i] - mixed[i])
        mixed[i] = mix(mixed[i])
        logs[i] = log(x[i])
        exps[i] = exp(powers[i])
        normals[i] = x[i]
    to_normal(normals, x.size)
"""


def each(x, powers=(0.0,), bits=(0,)):
    out = [np.zeros(len(x)) for _ in range(4)]
    mixed = np.resize(np.array(bits, np.uint64), len(x))
    names = ("uniform", "log", "exp", "mix", "to_normal")
    entry = compile.entry("draws_each", _EACH, {name: getattr(draws, name) for name in names})
    compile.call(entry, np.array(x), np.resize(powers, len(x)), out[0], out[1], out[2], mixed, out[3])
    return {"uniform": out[0], "log": out[1], "exp": out[2], "mix": mixed, "normal": out[3]}


def drawn(seed, ticks):
    entry = compile.entry("draws_fill", _DRAW, {"fill": draws.fill, "place": draws.place})
    out = np.zeros((len(keys(seed, 1)), ticks))
    compile.call(entry, out, keys(seed, 1), np.zeros(ticks, np.uint64))
    return out


def unmix(x):
    """Undo the scramble with plain integers."""

    def unshift(y, by):
        x = y
        for _ in range(64 // by + 1):
            x = y ^ (x >> by)
        return x

    x = unshift(x, 31) * pow(0x94D049BB133111EB, -1, 2**64) & ALL
    x = unshift(x, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) & ALL
    return unshift(x, 30)


def test_the_scramble_gives_the_published_numbers_of_splitmix64():
    states = [1234567 + n * GOLDEN & ALL for n in (1, 2, 3)]
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert each([0.5] * 3, bits=states)["mix"].tolist() == expected


def test_a_uniform_number_never_reaches_an_end():
    lowest, highest = each([0.5] * 2, bits=[unmix(0), unmix(ALL)])["uniform"]
    assert lowest == 2.0**-53
    assert highest == 1.0 - 2.0**-53


PROBABILITIES = [
    2.0**-53, 1e-12, 1.38e-11, 1.4e-11, 1e-6, 0.01, math.nextafter(0.075, 0), 0.075, math.nextafter(0.075, 1),
    0.3, 0.5, 0.7, 0.925, math.nextafter(0.925, 1), 0.99, 1 - 1e-9, 1 - 2.0**-53,
]  # fmt: skip


def test_normal_logarithm_and_exponential_agree_with_the_standard_library():
    x = PROBABILITIES + np.linspace(0.001, 0.999, 501).tolist()
    powers = np.linspace(-4.0, 4.0, len(x)).tolist()
    made = each(x, powers)
    assert made["normal"] == pytest.approx([NormalDist().inv_cdf(p) for p in x], rel=1e-13, abs=1e-15)
    assert made["log"] == pytest.approx([math.log(p) for p in x], rel=1e-14)
    assert made["exp"] == pytest.approx([math.exp(y) for y in powers], rel=1e-14)


def test_streams_ticks_and_seeds_are_independent():
    ticks = 4000 if not compile.JIT else 40_000
    first, other = drawn(7, ticks), drawn(8, ticks)
    bound = 5.0 / math.sqrt(ticks)  # five standard errors of a correlation
    everything = np.vstack([first[:, 1:], first[:, :-1], other[:, 1:]])
    correlation = np.corrcoef(everything) - np.eye(len(everything))
    assert np.abs(correlation).max() < bound
    assert np.abs(first.mean(axis=1) - 0.5).max() < bound * math.sqrt(1 / 12)
    counts = np.array([np.histogram(row, 20, (0.0, 1.0))[0] for row in first])
    assert (((counts - ticks / 20) ** 2 / (ticks / 20)).sum(axis=1) < 60.0).all()  # chi-squared, 19 degrees
