"""Trades lasting imbalance of the order book, where its orders and its flow agree."""
