"""The cold way to draw one chart: a Python and a matplotlib started afresh for it, as published.

`python cold_chart.py < SCRIPT.py > IMAGE.png`
"""

from __future__ import annotations

import sys

import matplotlib

if __name__ == "__main__":
    matplotlib.use("agg")
    exec(sys.stdin.read(), {"__name__": "__main__"})
    from matplotlib import pyplot

    pyplot.savefig(sys.stdout.buffer, format="png")
