"""Trades the break away from a level that absorbed aggressive volume."""
