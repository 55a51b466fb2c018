"""The 65 features of a market row: price, volume, book, momentum and volatility, one compiled step."""
