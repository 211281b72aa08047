"""Nothing leaves the machine: no command asks for a name that is not configured, or leaves a file where none is expected.

The commands run in name spaces of their own (quiet_run.py). A machine that forbids them skips these tests.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from quiet_run import HOST

PROJECT = Path(__file__).parents[2]
SPACES = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
STEPS = ["score", "judge", "render", "client", "data", "model", "preflight", "training"]
OWN_NAMES = {HOST, socket.gethostname().lower(), "localhost", "1.0.0.127.in-addr.arpa"}
"""The configured name, and those of the machine itself."""
CLOUD = "metadata.google.internal"
"""Ray's head asks the machine's own cloud for its kind, whatever RAY_USAGE_STATS_ENABLED says. Outside of a cloud nobody
has this name. docs/training.md says so."""
TORCH = "torchinductor_"
"""The empty folder that torch makes in the temporary folder when it is imported. A process that is started without
TMPDIR makes it in /tmp."""

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module", autouse=True)
def spaces() -> None:
    """Skips the tests where a user may make no name spaces, or may not mount in them."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    tried = [*SPACES, "sh", "-c", "mount --bind /tmp /var/tmp"]
    done = subprocess.run(tried, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"this machine allows no name spaces of users, networks and mounts: {done.stderr.strip()}")


def report_of(folder: Path, *steps: str) -> dict[str, Any]:
    """What the steps asked for and left, and that each of them succeeded."""
    known = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
    command = [*SPACES, sys.executable, str(Path(__file__).with_name("quiet_run.py")), str(folder), str(PROJECT), *steps]
    done = subprocess.run(command, env=known, capture_output=True, text=True, timeout=1400)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((folder / "report.json").read_text())
    for step in steps:
        assert report["steps"][step]["code"] == 0, report["steps"][step]["said"]
    return report


def traces(report: dict[str, Any]) -> list[str]:
    """The names and files that nobody expects."""
    names = [name for name in report["asked"] if name not in {*OWN_NAMES, CLOUD}]
    temporary = [path for path in report["tmp"] if not path.startswith(TORCH)]
    elsewhere = [path for path in report["elsewhere"] if not fnmatch(path, f"/tmp/{TORCH}*") or path.count("/") > 2]
    return [*names, *report["home"], *temporary, *elsewhere]


def test_no_command_asks_for_a_name_or_leaves_a_file_elsewhere(tmp_path: Path) -> None:
    report = report_of(tmp_path, *STEPS)
    assert traces(report) == []
    assert HOST in report["asked"], "the resolver records what is asked for"
    lines = (tmp_path / "out" / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines][-1] == 3
    assert list((tmp_path / "out" / "images").rglob("*.png"))


def test_a_program_that_reports_usage_is_noticed(tmp_path: Path) -> None:
    report = report_of(tmp_path, "chatty")
    assert report["asked"] == ["collector.example"]
    assert report["home"] == [".device-id"]
    assert report["elsewhere"] == ["/var/tmp/events"]


@pytest.mark.parametrize("name", ["collector.example", "a.b.example", "judge.example.org"])
def test_a_name_that_is_not_configured_is_noticed(name: str) -> None:
    assert traces({"asked": [HOST, name], "home": [], "tmp": [f"{TORCH}me"], "elsewhere": []}) == [name]
