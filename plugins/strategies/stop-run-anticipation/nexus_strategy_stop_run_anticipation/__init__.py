"""Trades runs toward clusters of stops, and the reversal after they are swept."""
