"""Fonts that stand in where the font of a text has no character: the one list of them, for charts and for CairoSVG.

Chromium and librsvg ask fontconfig, and find every font of the machine by themselves.
"""

from __future__ import annotations

FAMILIES = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Arabic", "Noto Sans Hebrew"),
    *("Noto Sans Thai", "Noto Sans Bengali", "Noto Sans Tamil", "Lohit Devanagari", "Noto Sans Symbols2"),
)
"""Fonts that stand in, in this order, those of them that the machine has."""
