"""Text that matplotlib's own font cannot show: fonts that stand in for it, and a count of what no font shows.

Without them every Chinese, Japanese or Korean character is one and the same box, so that wrong labels look right. The fonts
are asked for a character only where the fonts of the text have none, so other text keeps its pixels. They also stand in for
fonts that a script names and this machine lacks, such as SimHei.
"""

from __future__ import annotations

from typing import Any

from matplotlib import _text_helpers
from matplotlib.font_manager import FontManager, FontProperties, fontManager

from visual_erm.sandbox.backends.fallback_fonts import FAMILIES

_missing: set[int] = set()


def stand_in() -> None:
    """Appends the fonts of FAMILIES to those of every text, and counts the characters that none of them has."""
    installed = {font.name for font in fontManager.ttflist}
    paths = [_path_of(family) for family in FAMILIES if family in installed]
    find = FontManager._find_fonts_by_props

    def with_stand_ins(self: FontManager, prop: Any, *args: Any, **settings: Any) -> list[Any]:
        found = find(self, prop, *args, **settings)
        kind = args[0] if args else settings.get("fontext", "ttf")
        return [*found, *(path for path in paths if path not in found)] if kind == "ttf" else found

    FontManager._find_fonts_by_props = with_stand_ins  # type: ignore[method-assign]
    _text_helpers.warn_on_missing_glyph = lambda codepoint, fontnames: _missing.add(int(codepoint))  # type: ignore


def begin() -> None:
    """Forgets what was missing before."""
    _missing.clear()


def missing_glyphs() -> int:
    """Number of different characters that were drawn as boxes since `begin`."""
    return len(_missing)


def _path_of(family: str) -> Any:
    return fontManager.findfont(FontProperties(family=family), fallback_to_default=False)
