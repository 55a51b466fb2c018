"""Brings market data in, checks it, shows it, and serves its splits."""
