"""Plays raw exchange recordings: trades, quotes and the whole order book."""
