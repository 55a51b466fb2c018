"""An example: a strategy on the events of an order book."""
