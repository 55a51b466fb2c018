"""Detects cascades of forced trades: with them as they speed up, against them when spent."""
