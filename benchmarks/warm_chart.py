"""Drawing charts without a sandbox, in one warm interpreter, straight to pixels: what a sandbox adds is measured by it.

Reads scripts as lines of JSON; answers each with the milliseconds it took and the hash of its RGB pixels.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

import matplotlib
import pandas  # noqa: F401
import scipy  # noqa: F401
import seaborn
from matplotlib import pyplot
from PIL import Image


def draw(script: str) -> tuple[float, str]:
    begun = time.perf_counter()
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
    canvas = pyplot.gcf().canvas
    canvas.draw()
    pixels = canvas.buffer_rgba()  # type: ignore[attr-defined]
    image = Image.frombuffer("RGBA", pixels.shape[1::-1], pixels).convert("RGB")
    took = 1000 * (time.perf_counter() - begun)
    pyplot.close("all")
    matplotlib.rcdefaults()
    seaborn.set_color_codes("reset")
    return took, hashlib.sha256(image.tobytes()).hexdigest()


if __name__ == "__main__":
    matplotlib.use("agg")
    for line in sys.stdin:
        print(json.dumps(draw(json.loads(line))), flush=True)
