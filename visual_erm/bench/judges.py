"""The judges of the bench and of `visual-erm judge`: those of training, and a reward model that runs in this process.

judge = make_any_judge(load_judge_settings("transformers:/models/Visual-ERM"))
report = await judge.judge(reference, prediction, load_task("table"))
await judge.close()
"""

from __future__ import annotations

from visual_erm.errors import ConfigError
from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.caching import CachingJudge
from visual_erm.spec.judge import JudgeSettings


def make_any_judge(settings: JudgeSettings) -> Judge:
    """Makes a judge. No model is loaded before the first judgement.

    Args:
        settings: Which judge, `kind: transformers` included.

    Returns:
        The judge, which the caller closes.

    Raises:
        ConfigError: The settings are wrong, the model's folder holds no model, or torch or transformers is missing.
    """
    if settings.kind != "transformers":
        return make_judge(settings)
    try:
        from visual_erm.bench.transformers_judge import TransformersJudge
    except ImportError as error:
        raise ConfigError(
            f"judge transformers needs torch and transformers ({error}); fix: pip install torch 'transformers>=4.57'"
        ) from error
    return CachingJudge(TransformersJudge(settings), settings)
