"""What looks after plugins between runs: what is known of them, and whether they are what was locked.

Nothing that trades imports it.
"""
