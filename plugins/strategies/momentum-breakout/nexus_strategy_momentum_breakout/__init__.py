"""Trades channel breaks on expanding range and volume, and failed ones the other way."""
