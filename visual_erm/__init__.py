"""Visual-ERM for veRL: rewards for vision-to-code policies from what their output looks like.

    import asyncio
    from pathlib import Path
    from visual_erm import score_reply

    result = asyncio.run(score_reply("table", Path("reply.txt").read_text(), Path("reference.png")))
    print(result.reward, result.report)

The names in `__all__` are the public API. Each is imported when it is first asked for: `import visual_erm` costs nothing.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from visual_erm.errors import ConfigError, InfrastructureError, PolicyFault, VisualERMError
    from visual_erm.extract import Code
    from visual_erm.judge.base import Judge, make_judge
    from visual_erm.pipeline import RewardPipeline, RewardResult, judge_images, render_code, score_reply
    from visual_erm.refine.loop import Refined, RefineSettings, refine_code
    from visual_erm.render.base import Renderer, make_renderer
    from visual_erm.reward.outcome import Outcome
    from visual_erm.reward.report import Discrepancy, Report
    from visual_erm.spec.judge import JudgeSettings, load_judge_settings
    from visual_erm.spec.task import Task, load_task
    from visual_erm.vision.images import load_image

QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
"""Environment variables without which onnxruntime, datasets, huggingface_hub, Ray and vLLM report usage to their makers.
They are set here because a library reads them when it is imported. Your own values go first."""
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)

__version__ = "0.1.0"
"""The one source of the version: setup.py and `visual-erm --version` read it."""
__all__ = [
    "Code",
    "ConfigError",
    "Discrepancy",
    "InfrastructureError",
    "Judge",
    "JudgeSettings",
    "Outcome",
    "PolicyFault",
    "RefineSettings",
    "Refined",
    "Renderer",
    "Report",
    "RewardPipeline",
    "RewardResult",
    "Task",
    "VisualERMError",
    "__version__",
    "judge_images",
    "load_image",
    "load_judge_settings",
    "load_task",
    "make_judge",
    "make_renderer",
    "refine_code",
    "render_code",
    "score_reply",
]

_HOMES = {
    "errors": ("ConfigError", "InfrastructureError", "PolicyFault", "VisualERMError"),
    "extract": ("Code",),
    "judge.base": ("Judge", "make_judge"),
    "pipeline": ("RewardPipeline", "RewardResult", "judge_images", "render_code", "score_reply"),
    "refine.loop": ("Refined", "RefineSettings", "refine_code"),
    "render.base": ("Renderer", "make_renderer"),
    "reward.outcome": ("Outcome",),
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
