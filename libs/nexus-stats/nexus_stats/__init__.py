"""Statistics that say what a signal is worth, and how sure that is."""
