"""Trainers run as other users, two at a time, and their reports."""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest

HERE = Path(__file__).parent
NOBODY = 65534
Configuration = tuple[str, str]
"""The user who runs the trainer, and the isolation: `bubblewrap`, `alone` (the other layers without it), `unprotected`."""
UNPROTECTED = ("this user", "unprotected")
PROTECTED = [(user, isolation) for user in ("this user", "nobody") for isolation in ("bubblewrap", "alone")]
QUICK = ("this user", "alone")
"""The one that `make quick` tries."""
CONFIGURATIONS = [
    pytest.param(configuration, id=", ".join(configuration), marks=[] if configuration == QUICK else pytest.mark.long)
    for configuration in PROTECTED
]
LIMIT_S = 600


class Reports:
    """Of every configuration; they are waited for when they are asked for."""

    def __init__(self, pool: ThreadPoolExecutor, trainer: str, configurations: list[Configuration]) -> None:
        self._under_way: dict[Configuration, Future[dict[str, Any]]] = {
            configuration: pool.submit(run, trainer, configuration) for configuration in configurations
        }

    def of(self, configuration: Configuration) -> dict[str, Any]:
        """Skips the test where this machine cannot do it."""
        report = self._under_way[configuration].result()
        if "lacks" in report:
            pytest.skip(report["lacks"])
        return report


def reports_of(trainer: str, request: pytest.FixtureRequest) -> Iterator[Reports]:
    with ThreadPoolExecutor(2) as pool:
        yield Reports(pool, trainer, [QUICK] if request.config.getoption("--quick") else [UNPROTECTED, *PROTECTED])


@functools.cache
def python_of_nobody() -> list[str]:
    """What starts this Python as nobody, or another with its packages where nobody may run it; empty where none can be."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return []
    become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    again = "import ctypes, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    for python in (sys.executable, f"/usr/bin/{same}", f"/usr/local/bin/{same}"):
        command = [*become, python, "-c", again]
        if Path(python).exists() and subprocess.run(command, cwd="/", capture_output=True).returncode == 0:
            return command[:-2]
    return []


def run(trainer: str, configuration: Configuration) -> dict[str, Any]:
    """What a trainer reports."""
    user, isolation = configuration
    python = [sys.executable] if user == "this user" else python_of_nobody()
    if not python:
        return {"lacks": "no Python that nobody may run, or no right to become nobody"}
    folder = Path(tempfile.mkdtemp(prefix="attacks-", dir="/tmp"))
    try:
        shutil.copytree(matplotlib.get_cachedir(), folder / "matplotlib")
        (folder / "tmp").mkdir()
        for path in (folder, *folder.rglob("*")):
            if user == "nobody":
                os.chown(path, NOBODY, NOBODY)
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), sysconfig.get_path("purelib"))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MPLCONFIGDIR": str(folder / "matplotlib"),
            "TMPDIR": str(folder / "tmp"),
            "JUDGE_API_KEY": f"sk-{secrets.token_hex(16)}",
        }
        report, said = folder / "tmp" / "report.json", folder / "said"
        with said.open("wb") as output:
            command = [*python, str(HERE / trainer), isolation, str(report)]
            done = subprocess.run(command, env=environment, cwd="/", stdout=output, stderr=output, timeout=LIMIT_S)
        if done.returncode:
            raise AssertionError(said.read_text(errors="replace"))
        return json.loads(report.read_text())
    finally:
        subprocess.run(["rm", "-rf", str(folder)])
