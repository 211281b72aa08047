"""What this machine has and lacks: one finding a line, each with ok, a warning, or the fix."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from visual_erm.errors import ConfigError, InfrastructureError, RendererUnavailable
from visual_erm.judge.endpoint import models_at, redact
from visual_erm.judge.endpoint_pool import read_endpoints
from visual_erm.sandbox.host import examine as examine_sandbox
from visual_erm.spec.judge import JudgeSettings, api_key
from visual_erm.spec.prompts import described, shipped_prompts
from visual_erm.spec.sandbox import SandboxSettings
from visual_erm.spec.task import load_task

PACKAGES = {
    "visual-erm": "",
    "playwright": "",
    "pillow": "",
    "openai": "",
    "rapidocr": "",
    "matplotlib": "",
    "pyvips-binary": "",
    "cairosvg": "",
    "onnxruntime": "",
    "verl": "only for training: pip install 'visual-erm[train]'",
    "ray": "only for training: pip install 'visual-erm[train]'",
    "torch": "only for training: install the build for your accelerator",
    "transformers": "only for training: pip install 'visual-erm[train]'",
    "vllm": "only for serving: install the build for your accelerator",
}
"""Distribution -> why it may be absent; empty where it may not."""

LAYER_FIXES = {
    "bubblewrap": "apt-get install bubblewrap, and allow user namespaces in the container or the kernel",
    "landlock": "Linux 5.13 or newer (6.7 for TCP), with landlock among its security modules",
    "seccomp": "a kernel with seccomp filters, on x86_64 or aarch64",
}
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class Finding:
    """What was found about one thing on the machine, and how to mend it."""

    state: Literal["ok", "warning", "missing"]
    what: str
    found: str
    fix: str = ""


def examine(judge: JudgeSettings) -> list[Finding]:
    """Everything that can be found out without a GPU and within seconds."""
    return [python(), chromium(), *fonts(), *sandbox(), shared_memory(), *prompts(), *endpoints(judge), *packages()]


def python() -> Finding:
    """Looks at the version of Python."""
    version = platform.python_version()
    if (3, 10) <= tuple(map(int, version.split(".")[:2])) < (3, 13):
        return Finding("ok", "Python", version)
    return Finding("missing", "Python", version, "use Python 3.10, 3.11 or 3.12")


def chromium() -> Finding:
    """Looks for a Chromium that starts."""
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
    """Looks for the fonts that tables are drawn with."""
    matcher = shutil.which("fc-match")
    if not matcher:
        yield Finding("warning", "fonts", "fontconfig's fc-match is absent", "apt-get install fontconfig")
        return
    for pattern, wanted, package in (
        ("Arial", ("Arial", "Liberation Sans"), "fonts-liberation"),
        (":lang=zh-cn", ("CJK", "Han", "Hei", "Song", "Ming"), "fonts-noto-cjk"),
    ):
        said = subprocess.run([matcher, "-f", "%{family}", pattern], capture_output=True, text=True, check=False)  # noqa: S603
        family = said.stdout.strip()
        if any(name in family for name in wanted):
            yield Finding("ok", f"font for {pattern}", family)
        else:
            yield Finding("warning", f"font for {pattern}", family or "none", f"apt-get install {package}")


def sandbox() -> Iterator[Finding]:
    """The walls round code that a model wrote, and what a worker behind them found that they hold back."""
    settings = SandboxSettings()
    try:
        self_test = asyncio.run(examine_sandbox(settings))
    except InfrastructureError as error:
        yield Finding("missing", "sandbox", "does not start", str(error))
        return
    for layer, lacks in self_test.layers.items():
        yield Finding("warning", layer, lacks, LAYER_FIXES[layer]) if lacks else Finding("ok", layer, "up")
    missing = self_test.missing(settings)
    held = ", ".join(self_test.guarantees)
    yield (
        Finding("warning", "sandbox", f"holds back {held}", missing)
        if missing
        else Finding("ok", "sandbox", f"holds back {held}")
    )


def shared_memory() -> Finding:
    """Looks at the size of shared memory."""
    if not SHARED_MEMORY.is_dir():
        return Finding("warning", "shared memory", "none", "give the container a /dev/shm")
    gigabytes = shutil.disk_usage(SHARED_MEMORY).total / 2**30
    if gigabytes < 1:
        return Finding("warning", "shared memory", f"{gigabytes:.2f} GiB", "more helps Chromium and Ray: --shm-size=8g")
    return Finding("ok", "shared memory", f"{gigabytes:.1f} GiB")


def prompts() -> Iterator[Finding]:
    """Which text each task asks a judge with."""
    for task in sorted(file.stem for file in shipped_prompts().glob("*.txt")):
        try:
            yield Finding("ok", f"prompt of {task}", described(load_task(task).judge.prompt))
        except ConfigError as error:
            yield Finding("missing", f"prompt of {task}", "none that can be used", str(error))


def endpoints(judge: JudgeSettings) -> list[Finding]:
    """Asks each endpoint of the judge for its models.

    Args:
        judge: The settings of the judge.
    """
    if judge.kind == "local":
        return [Finding("ok", "judge", "local: OCR and image comparison; --judge URL checks a server")]
    return asyncio.run(_ask_endpoints(judge))


async def _ask_endpoints(judge: JudgeSettings) -> list[Finding]:
    urls = read_endpoints(Path(judge.endpoints_file)) if judge.endpoints_file else judge.endpoints
    if not urls:
        return [Finding("missing", "judge", f"no endpoint in {judge.endpoints_file}", "start one: visual-erm serve MODEL")]
    return list(await asyncio.gather(*(_ask(url, judge) for url in urls)))


async def _ask(url: str, judge: JudgeSettings) -> Finding:
    what = f"endpoint {url}"
    key = api_key(judge)
    try:
        served = await models_at(url, key)
    except (httpx.HTTPError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        return Finding("missing", what, redact(said, key), "start it: visual-erm serve MODEL")
    if judge.model not in served:
        return Finding("missing", what, f"serves {', '.join(served)}", f"set judge.model, or serve as {judge.model}")
    return Finding("ok", what, f"serves {judge.model}")


def packages() -> Iterator[Finding]:
    """Looks for the packages that are needed."""
    for name, optional in PACKAGES.items():
        try:
            yield Finding("ok", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield (
                Finding("warning", name, "not installed", optional)
                if optional
                else Finding("missing", name, "not installed", f"pip install {name}")
            )
