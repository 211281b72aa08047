"""What a policy is told of its draft: the differences, the error of its script, or that there was no code.

    text = feedback(await pipeline.score(reply, reference), task)

The refine loop asks for a revision with it, and so does training with several turns. The texts are in
`configs/refine/prompts/`.

What a model wrote (descriptions, messages of scripts, code) is data here: `inert` keeps it from being read as the place of
an image, or as the end of a turn.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from visual_erm.errors import printable
from visual_erm.reward.outcome import Outcome
from visual_erm.reward.report import Discrepancy, Report
from visual_erm.spec.base import shipped
from visual_erm.spec.task import Task

if TYPE_CHECKING:
    from visual_erm.pipeline import RewardResult

MAX_DIFFERENCES = 24
"""Differences that are listed. A policy that corrects the worst ones is shown the others in its next turn."""
MAX_TEXT = 300
"""Characters of one location or description."""
MAX_ERROR = 600
"""Characters of the message of a script."""

_MARKER = re.compile(
    r"<(?=[|\uff5c])"
    r"|<(?=(?:image|video|audio|img|img_context|image_soft_token|/?think|/?tool_\w{1,32}|(?:start|end)_of_\w{1,32})>)"
    r"|\[(?=/?(?:inst|img|img_break|img_end|tool_calls|tool_results|available_tools)\])",
    re.IGNORECASE,
)
"""The first character of what chat templates and processors replace by an image, or read as the end of a turn: `<image>`,
`<|im_start|>`, `[IMG]` and their like."""
_REFUSED = (Outcome.REJECTED, Outcome.TAMPERING)


def feedback(result: RewardResult, task: Task) -> str:
    """Writes what a policy is told of its draft, and asks for the whole code again.

    Args:
        result: What became of the draft.
        task: Its task.

    Returns:
        The text of a user's message, at most about 20,000 characters. It holds no place of an image: whoever shows the
        render of the draft adds its place. What a guard found is not told, because a policy in training would learn to
        pass the guard.

    Raises:
        ValueError: The infrastructure failed, and nothing is known of the draft.
    """
    if not result.scored_ok:
        raise ValueError("the draft was not scored, so there is no feedback on it")
    if result.outcome is Outcome.SCORED:
        report = result.report or Report()
        if not report.discrepancies and not report.truncated and result.severity == 0:
            return text_of("identical")
        parts = _differences(report, hidden=result.severity > report.severity)
    elif result.outcome in _REFUSED:
        parts = [text_of("refused")]
    elif result.outcome is Outcome.NO_CODE:
        parts = [text_of("no_code", error=_error(result.reason), languages=_languages(task))]
    else:
        parts = [text_of("error", error=_error(result.reason))]
    return "\n\n".join([*parts, text_of("again", languages=_languages(task))])


def inert(text: str) -> str:
    """Breaks the markers of images, turns and tools in text that a model wrote, with a blank after their first character.

    Args:
        text: Code or prose.

    Returns:
        The text, which is the same where it holds no marker. Half of a surrogate pair, which no request can hold, is `?`.

    >>> inert("<td><image></td> <|im_start|>")
    '<td>< image></td> < |im_start|>'
    """
    return _MARKER.sub(r"\g<0> ", text.encode("utf-8", "replace").decode("utf-8"))


def text_of(name: str, **values: str | int) -> str:
    """Fills one of the texts of `configs/refine/prompts/`.

    Args:
        name: Name of the file without its suffix.
        values: What stands in the places of the text. It is used as it is.

    Returns:
        The text without blank lines around it.
    """
    return _template(name).format(**values)


@cache
def _template(name: str) -> str:
    return (shipped("configs") / "refine" / "prompts" / f"{name}.txt").read_text(encoding="utf-8").strip()


def _differences(report: Report, hidden: bool) -> list[str]:
    """What a report says. `hidden`: there are differences that it does not say."""
    if not report.discrepancies:
        return [text_of("unlisted")]
    worst_first = sorted(report.discrepancies, key=lambda one: -one.severity)
    listed = [f"{number}. {_line(one)}" for number, one in enumerate(worst_first[:MAX_DIFFERENCES], 1)]
    parts = [text_of("differences", differences="\n".join(listed))]
    if more := len(worst_first) - len(listed):
        parts.append(text_of("more", count=more))
    if hidden or report.truncated:
        parts.append(text_of("incomplete"))
    return parts


def _line(discrepancy: Discrepancy) -> str:
    texts = (_quoted(text, MAX_TEXT) for text in (discrepancy.location, discrepancy.description))
    return f"[{discrepancy.category}, severity {discrepancy.severity:g}] {': '.join(filter(None, texts))}"


def _error(reason: str) -> str:
    """The message of a fault, without the name of its class."""
    return _quoted(reason.partition(": ")[2] or reason, MAX_ERROR)


def _quoted(text: str, most: int) -> str:
    """One line of text that a model wrote, cut to a number of characters."""
    line = inert(" ".join(printable(text).split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _languages(task: Task) -> str:
    return " or ".join(task.languages)
