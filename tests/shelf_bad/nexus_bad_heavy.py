"""Imports at once what it may never use."""

import sklearn
from nexus_bad import _Follow


class Heavy(_Follow):
    """Follow the newest move, at a price."""

    nexus_api = 1
    tool = sklearn
