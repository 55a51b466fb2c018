"""Compiles by itself."""

import numba
from nexus_bad import _Follow


@numba.njit
def twice(x):
    """Return it twice."""
    return x + x


class Compiled(_Follow):
    """Follow the newest move, compiled by itself."""

    nexus_api = 1
