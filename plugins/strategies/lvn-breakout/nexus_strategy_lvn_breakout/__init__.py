"""Trades the travel of price through a thin place of the volume profile."""
