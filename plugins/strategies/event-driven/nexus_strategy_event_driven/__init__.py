"""Trades what follows a shock of price and volume: continuation or reversal."""
