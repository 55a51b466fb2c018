"""What a set of features promises: a number for each of its names, from each row."""

from __future__ import annotations

from typing import ClassVar

from nexus_core.compile import Step
from nexus_core.strategy import Plugin


class FeatureSet(Plugin):
    """A set of features: a compiled step writes a number for each of its names, from each row.

    `state` and `step` are static methods, as a strategy's are; `market.features.FeatureLoop` runs them.
    """

    names: ClassVar[tuple[str, ...]]
    needs: ClassVar[set[str]] = {"bar"}
    """What it can make use of: some of `market.features.NEEDS`."""
    state: ClassVar[Step]
    """`state(params, interval)` returns the first state of one symbol, whose bars are `interval` nanoseconds
    long: field names with numbers, arrays or tools."""
    step: ClassVar[Step]
    """`step(row, view, state, params, out)` takes one row and the view of the book at its time, changes the
    state, and writes a number, or NaN where it is unknown, into each place of `out`. It answers which of its
    needs the row and the view did not have: bit n is set for `market.features.NEEDS[n]`."""
