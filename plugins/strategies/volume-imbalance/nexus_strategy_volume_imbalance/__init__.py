"""Trades runs of volume bars whose buying or selling is beyond what is expected."""
