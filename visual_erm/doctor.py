"""What this machine has and lacks: one finding a line, each with ok, a warning, or the fix."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import openai

from visual_erm.errors import RendererUnavailable
from visual_erm.judge import JudgeSettings

PACKAGES = {
    "visual-erm": "",
    "playwright": "",
    "pillow": "",
    "openai": "",
    "rapidocr": "",
    "onnxruntime": "",
    "verl": "only for training: pip install 'visual-erm[train]'",
    "ray": "only for training: pip install 'visual-erm[train]'",
    "torch": "only for training: install the build for your accelerator",
    "transformers": "only for training: pip install 'visual-erm[train]'",
    "vllm": "only for serving: install the build for your accelerator",
}
"""Distribution -> why it may be absent; empty where it may not."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class Finding:
    state: Literal["ok", "warning", "missing"]
    what: str
    found: str
    fix: str = ""


def examine(judge: JudgeSettings) -> list[Finding]:
    """Everything that can be found out without a GPU and within seconds."""
    return [python(), chromium(), *fonts(), *sandbox(), shared_memory(), *endpoints(judge), *packages()]


def python() -> Finding:
    version = platform.python_version()
    if (3, 10) <= tuple(map(int, version.split(".")[:2])) < (3, 13):
        return Finding("ok", "Python", version)
    return Finding("missing", "Python", version, "use Python 3.10, 3.11 or 3.12")


def chromium() -> Finding:
    from visual_erm.render.browser import find_chromium

    try:
        path = find_chromium()
    except RendererUnavailable as error:
        return Finding("missing", "Chromium", "none", str(error))
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    if said.returncode != 0:
        return Finding("missing", "Chromium", f"{path} does not start", (said.stderr or said.stdout).strip()[:200])
    return Finding("ok", "Chromium", f"{said.stdout.strip()} ({path})")


def fonts() -> Iterator[Finding]:
    matcher = shutil.which("fc-match")
    if not matcher:
        yield Finding("warning", "fonts", "fontconfig's fc-match is absent", "apt-get install fontconfig")
        return
    for pattern, wanted, package in (
        ("Arial", ("Arial", "Liberation Sans"), "fonts-liberation"),
        (":lang=zh", ("CJK", "Han", "Hei", "Song", "Ming"), "fonts-noto-cjk"),
    ):
        said = subprocess.run([matcher, "-f", "%{family}", pattern], capture_output=True, text=True, check=False)  # noqa: S603
        family = said.stdout.strip()
        if any(name in family for name in wanted):
            yield Finding("ok", f"font for {pattern}", family)
        else:
            yield Finding("warning", f"font for {pattern}", family or "none", f"apt-get install {package}")


def sandbox() -> Iterator[Finding]:
    """What can wall in code that a model wrote; tables need Chromium alone, charts will need these."""
    abi = _landlock_abi()
    if abi >= 4:
        yield Finding("ok", "Landlock", f"ABI {abi}")
    else:
        yield Finding(
            "warning", "Landlock", f"ABI {abi}" if abi > 0 else "not in this kernel", "Linux 6.7 or newer closes TCP too"
        )
    seccomp = "Seccomp:" in Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else False
    yield Finding("ok", "seccomp", "in this kernel") if seccomp else Finding("warning", "seccomp", "not in this kernel")
    bwrap = shutil.which("bwrap")
    if not bwrap:
        yield Finding("warning", "bubblewrap", "not installed", "apt-get install bubblewrap")
        return
    command = [bwrap, "--ro-bind", "/", "/", "--unshare-all", "true"]
    works = subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0  # noqa: S603
    if works:
        yield Finding("ok", "bubblewrap", "with user namespaces")
    else:
        yield Finding(
            "warning", "bubblewrap", "user namespaces are forbidden here", "allow them in the container or the kernel"
        )


def shared_memory() -> Finding:
    if not SHARED_MEMORY.is_dir():
        return Finding("warning", "shared memory", "none", "give the container a /dev/shm")
    gigabytes = shutil.disk_usage(SHARED_MEMORY).total / 2**30
    if gigabytes < 1:
        return Finding("warning", "shared memory", f"{gigabytes:.2f} GiB", "more helps Chromium and Ray: --shm-size=8g")
    return Finding("ok", "shared memory", f"{gigabytes:.1f} GiB")


def endpoints(judge: JudgeSettings) -> list[Finding]:
    if judge.kind == "local":
        return [Finding("ok", "judge", "local: OCR and image comparison; --judge URL checks a server")]
    return asyncio.run(_ask_endpoints(judge))


async def _ask_endpoints(judge: JudgeSettings) -> list[Finding]:
    return list(await asyncio.gather(*(_ask(url, judge) for url in judge.endpoints)))


async def _ask(url: str, judge: JudgeSettings) -> Finding:
    what = f"endpoint {url}"
    key = os.environ.get(judge.api_key_env) or "none"
    try:
        async with openai.AsyncOpenAI(base_url=url, api_key=key, timeout=10, max_retries=0) as client:
            served = [model.id async for model in client.models.list()]
    except openai.OpenAIError as error:
        return Finding(
            "missing",
            what,
            f"{type(error).__name__}: {error}".replace(key, "***"),
            "start it: vllm serve MODEL --served-model-name visual-erm",
        )
    if judge.model not in served:
        return Finding("missing", what, f"serves {', '.join(served)}", f"set judge.model, or serve as {judge.model}")
    return Finding("ok", what, f"serves {judge.model}")


def packages() -> Iterator[Finding]:
    for name, optional in PACKAGES.items():
        try:
            yield Finding("ok", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield (
                Finding("warning", name, "not installed", optional)
                if optional
                else Finding("missing", name, "not installed", f"pip install {name}")
            )


def _landlock_abi() -> int:
    """Version of the kernel's Landlock interface, 0 or less without one (landlock_create_ruleset with the version flag)."""
    create_ruleset = 444
    if os.uname().sysname != "Linux":
        return 0
    return int(ctypes.CDLL(None, use_errno=True).syscall(create_ruleset, None, 0, 1))
