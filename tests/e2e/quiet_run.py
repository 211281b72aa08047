"""Runs commands on a machine without a network, and writes down which names they ask for and which files appear.

    unshare --user --map-root-user --net --mount python quiet_run.py FOLDER CHECKOUT STEP…

Everything happens in new name spaces: the only interface is loopback, the only resolver is this script, and /tmp, /var/tmp,
/dev/shm and the home folder are empty. What the commands may write to is FOLDER/out. FOLDER/report.json has the results.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "judge.example"
"""The one name that is configured: that of the judge's server."""
LATER_S = 2.0
"""Seconds after a command in which what it left running may still ask or write."""
LIMIT_S = 500.0
CI_SERVICES = ("CI", "TF_BUILD", "TRAVIS", "JENKINS_URL", "BUILDKITE", "CIRCLECI", "APPVEYOR", "TEAMCITY_VERSION")
CI_PREFIXES = ("GITHUB_", "GITLAB_", "CODEBUILD_", "BITBUCKET_")
"""Variables that tell a command that it runs in CI. Some libraries report usage only elsewhere, as on the users' machines
(findings/onnxruntime_is_quiet_where_ci_runs.sh)."""
MS_BIND, MS_REC = 4096, 16384
EMPTY = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders that are empty at the start; the user's home is another one."""
PASSED_OVER = ("__pycache__", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "outputs")
"""Folders in the checkout that other work on it changes meanwhile."""
CHATTY = f"""
import os, socket
from pathlib import Path
os.mkdir(Path.home() / ".device-id")
os.mkdir("/var/tmp/events")
if os.fork() == 0:
    import time
    time.sleep({LATER_S / 4})
    try:
        socket.getaddrinfo("collector.example", 443)
    except OSError:
        pass
"""
"""Does what a library that reports usage does: it keeps an id, and asks for a name after its command has ended."""
REPORT = {"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 0, "errors": []}

libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mounts. Raises OSError."""
    if libc.mount(source.encode(), target.encode(), kind and kind.encode(), flags, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def hide(place: Path, empty: Path, shown: list[Path]) -> None:
    """Puts an empty folder in the place of another; the folders `shown` stay where they are in it."""
    empty.mkdir(parents=True)
    for folder in shown:
        if folder.is_relative_to(place):
            (empty / folder.relative_to(place)).mkdir(parents=True, exist_ok=True)
            mount(str(folder), str(empty / folder.relative_to(place)), None, MS_BIND | MS_REC)
    empty.chmod(0o1777)
    mount(str(empty), str(place), None, MS_BIND | MS_REC)


def loopback_up() -> None:
    """Starts the only interface."""
    siocsifflags, iff_up, iff_running = 0x8914, 1, 0x40
    with socket.socket() as line:
        fcntl.ioctl(line, siocsifflags, struct.pack("16sH14x", b"lo", iff_up | iff_running))


class Resolver:
    """Answers every question, and remembers it. Only the configured name has an address."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 53))
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            data, asker = self._line.recvfrom(4096)
            at, labels = 12, []
            while data[at]:
                labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii", "replace"))
                at += data[at] + 1
            name, kind = ".".join(labels).lower(), data[at + 1 : at + 3]
            self.asked.append(name)
            known, has_address = name == HOST, name == HOST and kind == b"\x00\x01"
            head = data[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + bytes([0, int(has_address), 0, 0, 0, 0])
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton("127.0.0.1") if has_address else b""
            self._line.sendto(head + data[12 : at + 5] + answer, asker)


class Judge(BaseHTTPRequestHandler):
    """A server that finds every pair of images alike."""

    def do_GET(self) -> None:
        self._say({"data": [{"id": "visual-erm"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": json.dumps(REPORT)}
        self._say({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def _say(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def commands(out: Path, port: int) -> dict[str, list[str]]:
    """By step: what is run."""
    python, command = [sys.executable], [sys.executable, "-m", "visual_erm.cli"]
    wrong = ["--reference", "examples/table/reference.png", "--response", "examples/table/reply_wrong.txt"]
    run = [
        *("task=table", "judge=local", "policy=tiny", "cluster=cpu", f"run_dir={out / 'run'}"),
        *(f"actor_rollout_ref.model.path={out / 'model'}", f"data.train_files={out / 'data' / 'train.parquet'}"),
        *(f"data.val_files={out / 'data' / 'test.parquet'}", "data.train_batch_size=4", "actor_rollout_ref.rollout.n=4"),
        *("data.max_prompt_length=512", "trainer.total_training_steps=3"),
    ]
    build = (
        "from pathlib import Path; from visual_erm.demo.tiny_tables import TABLE\n"
        "from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl\n"
        f"build_tiny_qwen3vl(Path({str(out / 'model')!r}), runs=TABLE.runs)"
    )
    prepared = ["data_prep/tables.py", "packages", "--max-rows", "4", "--max-columns", "3", "--limit", "24"]
    images = ["examples/table/reference.png", "examples/chart/reference.png"]
    return {
        "score": [*command, "score", "table", *wrong],
        "judge": [*command, "judge", "table", *images],
        "render": [*command, "render", "table", "examples/table/reference.html", "--out", str(out / "images")],
        "client": [*command, "judge", "table", *images, "--judge", f"http://{HOST}:{port}/v1"],
        "data": [*python, *prepared, "--out", str(out / "data")],
        "model": [*python, "-c", build],
        "chatty": [*python, "-c", CHATTY],
        "preflight": [*command, "preflight", *run],
        "training": [*python, "-m", "visual_erm.train", *run],
    }


def files_below(folder: Path, leave_out: Sequence[Path] = ()) -> Iterator[str]:
    """Every file and folder. Compiled Python and tools' caches are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in PASSED_OVER and Path(place, name) not in leave_out]
        yield from (os.path.join(place, name) for name in (*folders, *names))


def main(folder: Path, checkout: Path, steps: list[str]) -> None:
    """Runs the steps one after the other, and writes the report."""
    here, out = folder / "machine", folder / "out"
    for name in ("home", "tmp", "etc"):
        (here / name).mkdir(parents=True)
    out.mkdir()
    (here / "etc" / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    loopback_up()
    mount(str(here / "etc" / "resolv.conf"), "/etc/resolv.conf", None, MS_BIND)
    installed = [checkout, Path(sys.prefix).resolve()]
    browsers = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    shown = [folder, *installed, Path(sys.base_prefix).resolve(), *([browsers] if browsers.is_dir() else [])]
    hidden = [*map(Path, EMPTY), Path.home()]
    for number, place in enumerate(hidden):
        hide(place, here / "empty" / str(number), shown)
    resolver = Resolver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    given = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", *CI_PREFIXES)) and name not in CI_SERVICES and "proxy" not in name.lower()
    }
    environment = {
        **given,
        "HOME": str(here / "home"),
        "TMPDIR": str(here / "tmp"),
        "HF_HOME": str(out / "huggingface"),
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    kept = {path for place in installed for path in files_below(place)}
    report: dict[str, Any] = {"steps": {}}
    all_commands = commands(out, server.server_port)
    for step in steps:
        said = folder / f"{step}.log"
        with said.open("wb") as output:
            done = subprocess.run(
                all_commands[step], cwd=checkout, env=environment, stdout=output, stderr=output, timeout=LIMIT_S
            )
        time.sleep(LATER_S)
        report["steps"][step] = {"code": done.returncode, "said": said.read_text(errors="replace")[-3000:]}
        report["steps"][step]["home"] = sorted(path for path in files_below(here / "home"))
    report["asked"] = sorted(set(resolver.asked))
    report["home"] = [os.path.relpath(path, here / "home") for path in files_below(here / "home")]
    report["tmp"] = [os.path.relpath(path, here / "tmp") for path in files_below(here / "tmp")]
    appeared = []
    for place in hidden:
        for path in files_below(place, leave_out=shown):
            if not any(folder.is_relative_to(path) for folder in shown):
                appeared.append(path)
    for place in installed:
        appeared += [path for path in files_below(place) if path not in kept]
    report["elsewhere"] = sorted(appeared)
    (folder / "report.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
