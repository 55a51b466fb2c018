"""Follows informed order flow, by its toxicity and its impact on price."""
