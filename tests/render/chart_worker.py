"""Workers of the chart backend without isolation: forks of one warm process, one for each script, as in the sandbox."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import tempfile
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from PIL import Image

from visual_erm.sandbox.outcome import RenderingFailed

OPTIONS = {"dpi": 80, "max_pixels": 4_000_000}


def start() -> ProcessPoolExecutor:
    """A pool of the one process that forks."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def draw(pool: ProcessPoolExecutor, code: str, memory_mb: int | None = None) -> Image.Image:
    """The image that a new worker draws. Raises RenderingFailed as it does."""
    answer = pool.submit(_in_a_fork, code, memory_mb).result(timeout=60)
    if len(answer) == 2:
        raise RenderingFailed(*answer)
    return Image.frombytes("RGB", answer[:2], answer[2])


def _begin() -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from visual_erm.sandbox.backends import chart

    chart.warm(OPTIONS)


def _in_a_fork(code: str, memory_mb: int | None) -> Any:
    read, write = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            try:
                os.chdir(folder)
                answer = pickle.dumps(_outcome(code, memory_mb))
                with open(write, "wb") as pipe:
                    pipe.write(answer)
            finally:
                os._exit(0)
        os.close(write)
        with open(read, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
    return pickle.loads(answer)


def _outcome(code: str, memory_mb: int | None) -> Any:
    """Width, height and pixels, or the fault and its reason."""
    from visual_erm.sandbox.backends import chart

    chart.enter(OPTIONS)
    if memory_mb:
        with open("/proc/self/statm") as pages:
            used = int(pages.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (memory_mb << 20),) * 2)
    try:
        drawing = chart.render(code, OPTIONS)
    except RenderingFailed as failure:
        return failure.fault, str(failure)
    return drawing.width, drawing.height, drawing.rgb
