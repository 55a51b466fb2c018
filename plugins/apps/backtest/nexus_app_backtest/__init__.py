"""Looks back at runs: where decisions ended, and what refused trades would have made."""
