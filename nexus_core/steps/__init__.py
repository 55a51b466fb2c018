"""The public toolkit for authors: compiled rolling tools and functions for use inside a step."""

from nexus_core.steps.averages import mean as ewm
from nexus_core.steps.averages import std as ewm_std
from nexus_core.steps.plain import clip, exp, log, sqrt, squash
from nexus_core.steps.tool import Tool, record

__all__ = ["Tool", "clip", "ewm", "ewm_std", "exp", "log", "record", "sqrt", "squash"]
