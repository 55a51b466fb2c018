"""An example: buys a fall from the rolling high, as a compiled step."""
