"""Detects levels that trade more than they ever displayed, and trades with them."""
