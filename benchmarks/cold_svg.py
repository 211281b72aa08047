"""The cold way to draw one SVG document: a Python and a CairoSVG started afresh for it, as published.

`python cold_svg.py WIDTH HEIGHT < DOCUMENT.svg > IMAGE.png`
"""

from __future__ import annotations

import sys

import cairosvg

if __name__ == "__main__":
    width, height = map(int, sys.argv[1:])
    image = cairosvg.svg2png(bytestring=sys.stdin.buffer.read(), output_width=width, output_height=height)
    sys.stdout.buffer.write(image)
