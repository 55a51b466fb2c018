"""Detects false breaks of swing highs and lows, and trades the return."""
