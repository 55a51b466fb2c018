"""What looks after runs and plugins from outside: where runs live, what is known of plugins, what was locked.

Nothing that trades imports it.
"""
