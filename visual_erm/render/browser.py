"""One warm Chromium: found, started, watched, restarted and ended here.

The HTML renderers draw on the pages of this browser; nothing else in the project starts one.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import playwright

from visual_erm.errors import RendererUnavailable

ENVIRONMENT_VARIABLE = "VISUAL_ERM_CHROMIUM"
NAMES = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "headless_shell",
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
)
DOWNLOADS = (
    "chromium_headless_shell-*/*/chrome-headless-shell",
    "chromium_headless_shell-*/*/headless_shell",
    "chromium-*/*/chrome",
)
FIX = (
    "run `make setup`, install the package chromium-headless-shell, run `playwright install chromium-headless-shell`, "
    f"or set {ENVIRONMENT_VARIABLE} to the path of a Chromium"
)


def find_chromium() -> Path:
    """The Chromium to draw with: `$VISUAL_ERM_CHROMIUM`, else the system's, else Playwright's own download.

    Headless shells come before full browsers: they draw the same and take less than half the memory. Snaps are passed
    over, because their confinement keeps them from a private profile folder. Raises RendererUnavailable with the fix.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        path = shutil.which(chosen)
        if path is None:
            raise RendererUnavailable(f"{ENVIRONMENT_VARIABLE}={chosen} is not a program that can be run")
        return Path(path)
    for name in NAMES:
        path = shutil.which(name)
        if path is not None and not _is_snap(Path(path)):
            return Path(path)
    for pattern in DOWNLOADS:
        found = [path for path in _download_folder().glob(pattern) if os.access(path, os.X_OK)]
        if found:
            return max(found, key=_revision)
    raise RendererUnavailable(f"no Chromium found: {FIX}")


def _is_snap(path: Path) -> bool:
    """Whether a program is a snap, or the stub by which Ubuntu's package stands in for one."""
    real = path.resolve()
    if "snap" in real.parts or real.name == "snap":
        return True
    with real.open("rb") as file:
        head = file.read(4096)
    return head.startswith(b"#!") and b"/snap/" in head


def _download_folder() -> Path:
    chosen = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    if chosen == "0":
        return Path(playwright.__file__).parent / "driver" / "package" / ".local-browsers"
    return Path(chosen) if chosen else Path.home() / ".cache" / "ms-playwright"


def _revision(path: Path) -> int:
    numbers = re.findall(r"-(\d+)/", path.as_posix())
    return int(numbers[0]) if numbers else 0
