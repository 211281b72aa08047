#!/usr/bin/env bash
# One would guess: a list in `font.sans-serif` is a list of fallbacks, as in CSS. A character that the first font lacks is drawn
# with the next one. Scripts that draw Chinese labels set `font.sans-serif = ["DejaVu Sans", "Noto Sans CJK SC"]` for that reason.
# True: of a generic family, matplotlib takes the first font that is installed, and no other, so the character is a box. Since
# matplotlib 3.6 it falls back character by character, but over the entries of `font.family` only.
# Why it matters here: two charts with different Chinese labels have equal pixels, and the wrong one earns the maximum. Our
# sandbox appends fonts to those of every text for this reason (visual_erm/sandbox/backends/chart_fonts.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet matplotlib==3.10.8
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import warnings

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt


def drawn(text, **settings):
    """The pixels of a text, and how many warnings about missing glyphs came with it."""
    with plt.rc_context(settings), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        figure = plt.figure(figsize=(1, 1))
        figure.text(0.3, 0.3, text)
        held = io.BytesIO()
        figure.savefig(held, format="raw")
        plt.close(figure)
    return held.getvalue(), sum("missing from font" in str(warning.message) for warning in found)


# cmr10 has no Cyrillic letters, DejaVu Sans has them. Both come with matplotlib.
fonts = ["cmr10", "DejaVu Sans"]
generic = {"font.family": "sans-serif", "font.sans-serif": fonts}
named = {"font.family": fonts}
one, other = drawn("Ж", **generic), drawn("Я", **generic)
print("matplotlib", matplotlib.__version__)
print(f"font.sans-serif = {fonts}: {one[1]} and {other[1]} warnings, equal pixels: {one[0] == other[0]}")
first, second = drawn("Ж", **named), drawn("Я", **named)
print(f"font.family = {fonts}: {first[1]} and {second[1]} warnings, equal pixels: {first[0] == second[0]}")
as_said = one[0] == other[0] and one[1] and other[1] and first[0] != second[0] and not first[1] and not second[1]
sys.exit(0 if as_said else "the behaviour has changed")
PYTHON
