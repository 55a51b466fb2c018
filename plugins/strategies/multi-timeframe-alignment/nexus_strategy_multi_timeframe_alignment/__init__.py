"""Trades where the trends of several timeframes agree."""
