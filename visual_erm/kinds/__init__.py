"""Kinds of code that a policy may write: tables, charts, SVG, and those that users add.

A kind is one declaration (`Kind`) in one module. It names the languages, the extractors, the render settings, the
renderer, what the guards and the local judge read of an image, and how data is made. The rest of the package asks the kind
of a task and never tests for a name.

    from visual_erm.kinds import find_kind

    chart = find_kind("chart")                  # shipped with the package
    shapes = find_kind("/path/to/shapes.py")    # the user's own, see docs/new_task.md
"""

from visual_erm.kinds.base import ImageReading, Kind, LocalComparison, PartCounter, RenderSettings, resolve
from visual_erm.kinds.registry import SHIPPED, find_kind

__all__ = ["SHIPPED", "ImageReading", "Kind", "LocalComparison", "PartCounter", "RenderSettings", "find_kind", "resolve"]
