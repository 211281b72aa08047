"""The published way to score a step: blocking workers in a process pool, a cold render and temporary files for each
sample, and sample i sent to endpoint i mod n by a client of its own, dead or alive.

Kinder than what was published in one thing: the workers are there and have imported everything before the clock
starts.
"""

from __future__ import annotations

import base64
import contextlib
import multiprocessing
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import openai
from render_tables import SETTINGS, VIEWPORT, cold_browser
from step_samples import Sample

from visual_erm.errors import PolicyFault, VisualERMError
from visual_erm.extract import Code, extract
from visual_erm.kinds.svg import SvgSettings
from visual_erm.render.table import page_of
from visual_erm.reward.report import parse_report, report_schema
from visual_erm.spec.task import Task

HERE = Path(__file__).parent
WORKERS = 16
SETTLE_S = 1.0
"""What each worker waits before the clock starts, so that all of them are there."""


def image(code: Code, task: Task) -> bytes:
    """A PNG, drawn by a process that is started for it."""
    python, text = sys.executable, code.text
    if task.name == "table":
        size = map(str, VIEWPORT.values())
        command = [python, str(HERE / "cold_table.py"), str(cold_browser()), *size]
        text = page_of(SETTINGS).replace("</body>", f"{code.text}</body>")
    elif task.name == "chart":
        command = [python, str(HERE / "cold_chart.py")]
    else:
        assert isinstance(task.render, SvgSettings)
        command = [python, str(HERE / "cold_svg.py"), str(task.render.width), str(task.render.height)]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout


def score(sample: Sample, number: int, task: Task, endpoints: Sequence[str], folder: str) -> float | None:
    """The severity of one sample; None where one `except` gives all that went wrong the same reward."""
    try:
        drawn = image(extract(sample.reply, task.code_languages), task)
        files = [Path(folder) / f"{uuid.uuid4()}.png" for _ in range(2)]
        for file, content in zip(files, (sample.reference, drawn), strict=True):
            file.write_bytes(content)
        urls = [f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" for file in files]
        content = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        form = {"type": "json_schema", "json_schema": {"name": "report", "schema": report_schema(task.report)}}
        with openai.OpenAI(base_url=endpoints[number % len(endpoints)], api_key="none") as client:
            answer = client.chat.completions.create(
                model="visual-erm",
                messages=[{"role": "user", "content": [*content, {"type": "text", "text": task.judge.prompt}]}],  # type: ignore
                response_format=form,  # type: ignore[arg-type]
            )
        return parse_report(answer.choices[0].message.content or "", task.report).severity
    except (subprocess.CalledProcessError, openai.APIError, PolicyFault, VisualERMError):
        return None


def _settle(_: int) -> None:
    time.sleep(SETTLE_S)


def seconds_per_sample(samples: Sequence[Sample], tasks: dict[str, Task], endpoints: Sequence[str]) -> tuple[float, int]:
    """Wall time over the number of samples, with all workers at work; and how many of them got a severity."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(min(WORKERS, len(samples)), mp_context=spawn))
        list(pool.map(_settle, range(min(WORKERS, len(samples)))))
        begun = time.monotonic()
        scored = [
            pool.submit(score, sample, number, tasks[sample.task], endpoints, folder)
            for number, sample in enumerate(samples)
        ]
        severities = [one.result() for one in scored]
        return (time.monotonic() - begun) / len(samples), sum(severity is not None for severity in severities)
