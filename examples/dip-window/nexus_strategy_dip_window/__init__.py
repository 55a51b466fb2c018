"""An example: buys a fall from the rolling high, in fifteen lines of plain Python."""
