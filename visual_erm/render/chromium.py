"""Finds the Chromium that renders on this machine, and names it with its version."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

import playwright

from visual_erm.errors import RendererUnavailable

VARIABLE = "VISUAL_ERM_CHROMIUM"
"""Environment variable with the path of a Chromium."""
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
    f"or set {VARIABLE} to the path of a Chromium"
)
VERSION_LIMIT_S = 30.0
"""Seconds for the program to say its version."""


def find_chromium() -> Path:
    """Finds the Chromium to render with: `$VISUAL_ERM_CHROMIUM`, else the system's, else Playwright's own download.

    Headless shells come before full browsers: they render the same and take less than half the memory. Snaps are left out,
    because their confinement keeps them from a private profile folder.

    Returns:
        Path of the program.

    Raises:
        RendererUnavailable: There is none; the message says what to do.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        path = shutil.which(chosen)
        if path is None:
            raise RendererUnavailable(f"{VARIABLE}={chosen} is not a program that can be run")
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


def _revision(program: Path) -> int:
    number = program.parents[1].name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


@functools.lru_cache(maxsize=8)
def renderer_version_of(chromium: Path) -> str:
    """Asks a Chromium for its version.

    Args:
        chromium: Path of the program.

    Returns:
        Its name and version, for example `chromium-headless-shell 156.0.8078.79`.

    Raises:
        RendererUnavailable: The program does not say its version.
    """
    try:
        command = [str(chromium), "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=VERSION_LIMIT_S, check=True)  # noqa: S603
        return f"{chromium.name} {re.findall(r'[0-9]+(?:[.][0-9]+)+', answer.stdout)[0]}"
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise RendererUnavailable(f"{chromium} --version gives no version ({error}): {FIX}") from error
