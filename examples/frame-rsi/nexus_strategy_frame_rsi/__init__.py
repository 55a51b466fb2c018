"""An example: code that somebody has, on a DataFrame, as a strategy."""
