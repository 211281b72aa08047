"""What the policy is asked by default: the prompt of the task's kind for its preferred language."""

from __future__ import annotations

from visual_erm.errors import ConfigError
from visual_erm.spec.task import Task


def default_prompt(task: Task) -> str:
    """The prompt for the language that the task prefers.

    Args:
        task: The task of the rows.

    Returns:
        The text; `<image>` in it stands for the image.

    Raises:
        ConfigError: The task's kind has no prompt for that language.
    """
    language = task.languages[0]
    if language not in task.kind.prompts:
        raise ConfigError(f"the kind `{task.kind.name}` has no prompt for `{language}`; give one with --prompt")
    return task.kind.prompts[language]
