"""What looks after runs and plugins from outside: where runs live, what is known of plugins, what was locked.

Also how a run that was left is brought to where its journal ends. Nothing that trades imports it.
"""
