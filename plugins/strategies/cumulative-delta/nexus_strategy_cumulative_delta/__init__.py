"""Trades the session's cumulative delta where it leads price."""
