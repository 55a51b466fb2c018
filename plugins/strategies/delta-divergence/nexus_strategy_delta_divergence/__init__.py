"""Trades divergence between swings of price and of cumulative delta."""
