"""Classifies the open of a session: goes with a drive, against a failed one."""
