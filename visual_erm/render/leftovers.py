"""Removes the folders that Playwright left in the temporary folder when it was killed. The browser does so when it starts.

    remove_leftovers(Path("/tmp"))

Playwright's driver, a process of Node, makes a profile and a folder for downloads per browser, and removes both in the end.
Whoever kills the driver, or the whole machine, leaves them behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import psutil

PATTERNS = ("playwright-artifacts-*", "playwright_chromiumdev_profile-*")
"""Names that Playwright gives its folders."""
CLOCKS_S = 5.0
"""Seconds by which the start of a process and the time of a folder may be wrong to each other."""


def remove_leftovers(folder: Path) -> None:
    """Removes the folders of Playwright that no living process can have made.

    A folder stays if it is another user's, or if a process of Node is older than the last change of it: that may be its
    driver.

    Args:
        folder: The temporary folder. Links in it are not followed.
    """
    found: dict[Path, float] = {}
    for pattern in PATTERNS:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                about = path.lstat()
                if path.is_dir() and not path.is_symlink() and about.st_uid == os.getuid():
                    found[path] = about.st_mtime
    # After the folders are listed: a driver that starts now makes folders that are not among them.
    first = min(_starts_of_node(), default=float("inf")) if found else 0.0
    for path, changed in found.items():
        if changed < first - CLOCKS_S:
            shutil.rmtree(path, ignore_errors=True)


def _starts_of_node() -> list[float]:
    """When the living processes of Node were started."""
    starts = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("node"):
                starts.append(process.create_time())
    return starts
