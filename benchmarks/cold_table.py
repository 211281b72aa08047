"""The cold way to draw one table: started afresh for it, with a browser of its own, the whole page drawn and then cropped.

`python cold_table.py CHROMIUM WIDTH HEIGHT < PAGE.html > IMAGE.png`
"""

from __future__ import annotations

import io
import sys

from PIL import Image, ImageChops
from playwright.sync_api import sync_playwright

CROP = 12


def main(chromium: str, width: str, height: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--font-render-hinting=slight"])
        page = browser.new_page(viewport={"width": int(width), "height": int(height)})
        page.set_content(sys.stdin.buffer.read().decode())
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    box = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    assert box is not None, "the page is blank"
    left, top, right, bottom = box
    cut = (max(0, left - CROP), max(0, top - CROP), min(image.width, right + CROP), min(image.height, bottom + CROP))
    image.crop(cut).save(sys.stdout.buffer, "PNG")


if __name__ == "__main__":
    main(*sys.argv[1:])
