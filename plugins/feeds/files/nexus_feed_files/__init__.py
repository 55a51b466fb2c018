"""Feeds bars and ticks from CSV, Parquet and Feather files, in chunks."""
