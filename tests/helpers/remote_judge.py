"""A remote judge for tests: what it is asked about, what a server answers, and its settings."""

from __future__ import annotations

import json

from openai_server import completion
from PIL import Image
from ports import free_port

from visual_erm.judge.remote import RemoteJudge
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

TABLE = load_task("table")
ERROR = {"type": "numeric_error", "description": "12.5 became 12.6", "severity": 3}
WIRE = json.dumps({"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 1, "errors": [ERROR]})
GOOD = completion(WIRE)
WHITE, GRAY = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (50, 20), "grey")


def settings(*endpoints: str, **changes) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=endpoints, **{"timeout_s": 60, "unavailable_timeout_s": 2, **changes})


async def judged(config: JudgeSettings, task=TABLE, reference=WHITE, prediction=GRAY):
    judge = RemoteJudge(config)
    try:
        return await judge.judge(reference, prediction, task)
    finally:
        await judge.close()


def dead_url() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"
