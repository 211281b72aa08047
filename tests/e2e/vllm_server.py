"""A real vLLM server on the CPU, with the tiny random Qwen3-VL as its model: what a remote judge talks to in the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

START_S = 300


def vllm() -> Path | None:
    """The `vllm` command of this environment."""
    command = Path(sys.executable).parent / "vllm"
    return command if command.exists() else None


@contextmanager
def served(model: Path) -> Iterator[str]:
    """Serves `model` as `visual-erm`; gives the base URL once it is healthy. Ends every process and removes every file."""
    home = Path(tempfile.mkdtemp(prefix="vllm-"))
    port = _free_port()
    command = [
        *(str(vllm()), "serve", str(model), "--served-model-name", "visual-erm"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--enforce-eager", "--dtype", "float32", "--max-model-len", "4096"),
        *("--max-num-seqs", "32", "--max-num-batched-tokens", "4096", "--limit-mm-per-prompt", '{"image":2,"video":0}'),
        *("--structured-outputs-config", '{"backend":"xgrammar","disable_any_whitespace":true}'),
        "--no-enable-log-requests",
    ]
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Compiling the sampler takes a C++ compiler and most of a minute.
        "TORCH_COMPILE_DISABLE": "1",
        "TMPDIR": str(home),
        "VLLM_CACHE_ROOT": str(home / "cache"),
        "VLLM_CONFIG_ROOT": str(home / "config"),
        "VLLM_RPC_BASE_PATH": str(home),
    }
    log = home / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=os.environ | settings, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_healthy(server, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _end(server)
        shutil.rmtree(home)


def _wait_until_healthy(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"vLLM did not start within {START_S} s:\n{log.read_text(errors='replace')[-4000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server's whole process group: it starts an engine of its own."""
    for sign, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 30)):
        group = [process for process in psutil.process_iter() if _in_group(process, server.pid)]
        if group:
            os.killpg(server.pid, sign)
            psutil.wait_procs(group, timeout=seconds)
    server.wait(timeout=30)


def _in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
