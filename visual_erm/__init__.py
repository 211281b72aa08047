"""Visual-ERM for veRL: rewards for vision-to-code policies from what their output looks like.

    import asyncio
    from pathlib import Path
    from visual_erm import RewardPipeline, load_judge_settings, load_task

    async def main() -> None:
        async with RewardPipeline(load_task("table"), load_judge_settings("local")) as pipeline:
            print(await pipeline.score(Path("reply.txt").read_text(), Path("reference.png")))

    asyncio.run(main())

The names below are the public API. Each is imported when it is first asked for, so that `import visual_erm` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visual_erm.errors import ConfigError, InfrastructureError, PolicyFault, VisualERMError
    from visual_erm.extract import Code
    from visual_erm.judge.base import Judge, make_judge
    from visual_erm.pipeline import RewardPipeline, RewardResult
    from visual_erm.render.base import Renderer, make_renderer
    from visual_erm.reward.report import Discrepancy, Report
    from visual_erm.spec.judge import JudgeSettings, load_judge_settings
    from visual_erm.spec.task import Task, load_task
    from visual_erm.vision.images import load_image

# onnxruntime reads this when it is imported. Its Linux wheels report usage to their maker without it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = [
    "Code",
    "ConfigError",
    "Discrepancy",
    "InfrastructureError",
    "Judge",
    "JudgeSettings",
    "PolicyFault",
    "Renderer",
    "Report",
    "RewardPipeline",
    "RewardResult",
    "Task",
    "VisualERMError",
    "__version__",
    "load_image",
    "load_judge_settings",
    "load_task",
    "make_judge",
    "make_renderer",
]

_HOMES = {
    "errors": ("ConfigError", "InfrastructureError", "PolicyFault", "VisualERMError"),
    "extract": ("Code",),
    "judge.base": ("Judge", "make_judge"),
    "pipeline": ("RewardPipeline", "RewardResult"),
    "render.base": ("Renderer", "make_renderer"),
    "reward.report": ("Discrepancy", "Report"),
    "spec.judge": ("JudgeSettings", "load_judge_settings"),
    "spec.task": ("Task", "load_task"),
    "vision.images": ("load_image",),
}
"""Module -> the public names that it defines."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"visual_erm.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
