"""Detects large orders that are cancelled as price nears, and trades against their side."""
