"""Stands for something heavy."""
