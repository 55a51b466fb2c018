"""Opens a socket where it is imported."""

import socket

from nexus_bad import _Follow

with socket.socket() as here:
    NUMBER = here.fileno()


class Busy(_Follow):
    """Follow the newest move, after a call."""

    nexus_api = 1
