"""Raw recordings of exchange streams: segments, and compiled parsers that turn them into market events."""
