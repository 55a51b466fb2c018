"""Trades bursts of one-sided trading by their phase: ignition, propagation, exhaustion."""
