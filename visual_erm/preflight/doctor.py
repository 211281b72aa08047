"""What this machine has and lacks: one result a line, each with ok, a warning, or the fix."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from visual_erm.errors import ConfigError, InfrastructureError, PolicyFault, RendererUnavailable, VisualERMError
from visual_erm.extract import Code
from visual_erm.judge.endpoint import hide_login, models_at, proxy_fix, redact
from visual_erm.judge.endpoint_pool import read_endpoints
from visual_erm.kinds import RenderSettings
from visual_erm.preflight.fonts import CHART_SHEET, SCRIPTS, SVG_SHEET, SVG_SIZE, TABLE_SHEET, Sheet, scripts_without_font
from visual_erm.render.base import Renderer, make_renderer
from visual_erm.sandbox.backends.chart_libraries import LIBRARIES, Library, install_command, installed_version
from visual_erm.sandbox.host import examine as examine_sandbox
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.prompts import described, shipped_prompts
from visual_erm.spec.sandbox import SandboxSettings
from visual_erm.spec.servers import api_key
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
DRAWN = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
"""A script that draws something."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass(frozen=True)
class DoctorResult:
    """What was found about one thing on the machine, and how to fix it."""

    state: Literal["ok", "warning", "missing"]
    what: str
    found: str
    fix: str = ""


def examine(judge: JudgeSettings) -> list[DoctorResult]:
    """Finds out everything that takes no GPU and only seconds.

    Args:
        judge: The settings of the judge.

    Returns:
        One result for each thing.
    """
    machine = [python(), chromium(), arial(), *sandbox(), *rendering(), shared_memory()]
    return [*machine, *prompts(), *endpoints(judge), *packages()]


def python() -> DoctorResult:
    """Looks at the version of Python."""
    version = platform.python_version()
    if (3, 10) <= tuple(map(int, version.split(".")[:2])) < (3, 13):
        return DoctorResult("ok", "Python", version)
    return DoctorResult("missing", "Python", version, "use Python 3.10, 3.11 or 3.12")


def chromium() -> DoctorResult:
    """Looks for a Chromium that starts."""
    from visual_erm.render.chromium import find_chromium

    try:
        path = find_chromium()
    except RendererUnavailable as error:
        return DoctorResult("missing", "Chromium", "none", str(error))
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    if done.returncode != 0:
        return DoctorResult("missing", "Chromium", f"{path} does not start", (done.stderr or done.stdout).strip()[:200])
    return DoctorResult("ok", "Chromium", f"{done.stdout.strip()} ({path})")


def arial() -> DoctorResult:
    """Looks for the font that tables are set in."""
    what, matcher = "font for Arial", shutil.which("fc-match")
    if not matcher:
        return DoctorResult("warning", what, "fontconfig's fc-match is absent", "apt-get install fontconfig")
    done = subprocess.run([matcher, "-f", "%{family}", "Arial"], capture_output=True, text=True, check=False)  # noqa: S603
    family = done.stdout.strip()
    if any(name in family for name in ("Arial", "Liberation Sans")):
        return DoctorResult("ok", what, family)
    return DoctorResult("warning", what, family or "none", "apt-get install fonts-liberation")


def rendering() -> list[DoctorResult]:
    """Has each renderer draw text of several scripts, and scripts import the libraries that they may import.

    Returns:
        One result for each renderer, and one for each library.
    """
    return asyncio.run(_rendering())


async def _rendering() -> list[DoctorResult]:
    svg = load_task("svg").render.model_copy(update=SVG_SIZE)
    cairosvg = svg.model_copy(update={"backend": "cairosvg"})
    async with contextlib.AsyncExitStack() as open_renderers:

        def opened(settings: RenderSettings) -> Renderer:
            renderer = make_renderer(settings, pages=1)
            open_renderers.push_async_callback(renderer.close)
            return renderer

        charts = opened(load_task("chart").render)
        texts = await asyncio.gather(
            _text("tables", opened(load_task("table").render), TABLE_SHEET),
            _text("charts", charts, CHART_SHEET),
            _text("SVG", opened(svg), SVG_SHEET),
            _text("SVG by CairoSVG", opened(cairosvg), SVG_SHEET),
        )
        libraries = [await _library(library, charts) for library in LIBRARIES]
    return [*texts, *libraries]


async def _text(kind: str, renderer: Renderer, sheet: Sheet) -> DoctorResult:
    """What text a renderer shows."""
    what = f"text in {kind}"
    try:
        lacking = await scripts_without_font(renderer, sheet)
    except VisualERMError as error:
        return DoctorResult("warning", what, "not tested: the renderer does not work", str(error))
    if not lacking:
        return DoctorResult("ok", what, ", ".join(script.name for script in SCRIPTS))
    found = f"boxes in place of {', '.join(script.name for script in lacking)}"
    packages = dict.fromkeys(script.package for script in lacking)
    return DoctorResult("warning", what, found, f"apt-get install {' '.join(packages)}")


async def _library(library: Library, renderer: Renderer) -> DoctorResult:
    """Whether a script can import a library in the sandbox."""
    what, version = f"scripts import {library.module}", installed_version(library)
    if not version:
        return DoctorResult("warning" if library.extra else "missing", what, "not installed", install_command(library))
    try:
        await renderer.render(Code("python", f"import {library.module}\n{DRAWN}"))
    except PolicyFault as fault:
        return DoctorResult("missing", what, f"{version}, but not in the sandbox", str(fault))
    except InfrastructureError as error:
        return DoctorResult("warning", what, f"{version}, not tested in the sandbox", str(error))
    return DoctorResult("ok", what, version)


def sandbox() -> Iterator[DoctorResult]:
    """The isolation of code that a model wrote, and what a worker in it found that it guarantees."""
    settings = SandboxSettings()
    try:
        self_test = asyncio.run(examine_sandbox(settings))
    except InfrastructureError as error:
        yield DoctorResult("missing", "sandbox", "does not start", str(error))
        return
    for layer, lacks in self_test.layers.items():
        yield DoctorResult("warning", layer, lacks, LAYER_FIXES[layer]) if lacks else DoctorResult("ok", layer, "up")
    missing = self_test.missing(settings)
    held = ", ".join(self_test.guarantees)
    yield (
        DoctorResult("warning", "sandbox", f"guarantees {held}", missing)
        if missing
        else DoctorResult("ok", "sandbox", f"guarantees {held}")
    )


def shared_memory() -> DoctorResult:
    """Looks at the size of shared memory."""
    if not SHARED_MEMORY.is_dir():
        return DoctorResult("warning", "shared memory", "none", "give the container a /dev/shm")
    gigabytes = shutil.disk_usage(SHARED_MEMORY).total / 2**30
    if gigabytes < 1:
        return DoctorResult(
            "warning", "shared memory", f"{gigabytes:.2f} GiB", "more helps Chromium and Ray: --shm-size=8g"
        )
    return DoctorResult("ok", "shared memory", f"{gigabytes:.1f} GiB")


def prompts() -> Iterator[DoctorResult]:
    """Which text each task asks a judge with."""
    for task in sorted(file.stem for file in shipped_prompts().glob("*.txt")):
        try:
            yield DoctorResult("ok", f"prompt of {task}", described(load_task(task).judge.prompt))
        except ConfigError as error:
            yield DoctorResult("missing", f"prompt of {task}", "none that can be used", str(error))


def endpoints(judge: JudgeSettings) -> list[DoctorResult]:
    """Asks each endpoint of the judge for its models.

    Args:
        judge: The settings of the judge.

    Returns:
        One result for each endpoint; one alone for a judge without endpoints.
    """
    if judge.kind == "local":
        return [DoctorResult("ok", "judge", "local: OCR and image comparison; --judge URL checks a server")]
    if judge.kind == "transformers":
        file = Path(judge.model or "").expanduser() / "config.json"
        if file.is_file():
            return [DoctorResult("ok", "judge", f"the model in {file.parent}, in this process")]
        return [DoctorResult("missing", "judge", f"no model in {file.parent}", "give the folder of a model")]
    return asyncio.run(_ask_endpoints(judge))


async def _ask_endpoints(judge: JudgeSettings) -> list[DoctorResult]:
    urls = read_endpoints(Path(judge.endpoints_file)) if judge.endpoints_file else judge.endpoints
    if not urls:
        return [
            DoctorResult("missing", "judge", f"no endpoint in {judge.endpoints_file}", "start one: visual-erm serve MODEL")
        ]
    return list(await asyncio.gather(*(_ask(url, judge) for url in urls)))


async def _ask(url: str, judge: JudgeSettings) -> DoctorResult:
    what = f"endpoint {hide_login(url)}"
    key = api_key(judge)
    try:
        served = await models_at(url, key)
    except (httpx.HTTPError, ValueError) as error:
        message = f"{type(error).__name__}: {error}"
        return DoctorResult(
            "missing", what, redact(message, key, url), proxy_fix(url) or "start it: visual-erm serve MODEL"
        )
    if judge.model not in served:
        return DoctorResult("missing", what, f"serves {', '.join(served)}", f"set judge.model, or serve as {judge.model}")
    return DoctorResult("ok", what, f"serves {judge.model}")


def packages() -> Iterator[DoctorResult]:
    """Looks for the packages that are needed."""
    for name, optional in PACKAGES.items():
        try:
            yield DoctorResult("ok", name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield (
                DoctorResult("warning", name, "not installed", optional)
                if optional
                else DoctorResult("missing", name, "not installed", f"pip install {name}")
            )
