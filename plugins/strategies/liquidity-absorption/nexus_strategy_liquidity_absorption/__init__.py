"""Trades against aggressors whose volume the touch absorbs until they are spent."""
