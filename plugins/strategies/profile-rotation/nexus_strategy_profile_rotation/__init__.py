"""Trades the value area of the volume profile: fades its edges in balance, follows out of it."""
