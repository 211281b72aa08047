"""A model that matches errors: it gets both lists as text, and answers with the matches.

    matching = await match_by_model(chat, predictions, truths)

`Chat` asks the servers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from visual_erm.bench.matching import LabeledError, Matching
from visual_erm.bench.rows import LEVELS, matching_of
from visual_erm.bench.tally import BadMatching
from visual_erm.errors import JudgeUnreadable
from visual_erm.judge.chat import Chat, held_to
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.base import shipped

MAX_TOKENS = 2048
"""Tokens of a reply; 60 matches take about 1,500."""


async def match_by_model(
    chat: Chat,
    predictions: Sequence[LabeledError],
    truths: Sequence[LabeledError],
    *,
    structured: bool = True,
    usage: JudgeUsage | None = None,
) -> Matching:
    """Asks a model which predicted error is which true error.

    Args:
        chat: The servers.
        predictions: The errors that a judge reports.
        truths: The errors that a person found.
        structured: Hold the reply to a JSON schema, where the server can.
        usage: Counts what it costs.

    Returns:
        The matching.

    Raises:
        JudgeUnavailable: No server answers.
        JudgeUnreadable: The reply holds no matches, nor does a second one.
        ConfigError: A server serves other models.
    """
    if not predictions or not truths:
        return Matching(())
    body = request_for(predictions, truths)
    if structured:
        body |= held_to("matches", schema(len(predictions), len(truths)))
    return await chat.ask(body, lambda text, _: read_reply(text), usage)


def request_for(predictions: Sequence[LabeledError], truths: Sequence[LabeledError]) -> dict[str, Any]:
    """Makes a request for a chat completion.

    Args:
        predictions: The errors that a judge reports.
        truths: The errors that a person found.

    Returns:
        The body without the model's name.
    """
    prompt = _text().format(truths=_listed(truths, "gt_id"), predictions=_listed(predictions, "pred_id"))
    return {"messages": [{"role": "user", "content": prompt}], "temperature": 0.0, "max_tokens": MAX_TOKENS}


@cache
def _text() -> str:
    return (shipped("configs") / "bench" / "prompts" / "match.txt").read_text(encoding="utf-8")


def schema(predictions: int, truths: int) -> dict[str, Any]:
    """The JSON schema of a reply.

    Args:
        predictions: Number of predicted errors, 1 or more.
        truths: Number of true errors, 1 or more.

    Returns:
        The schema.
    """
    ids = {"pred_id": predictions, "gt_id": truths}
    properties: dict[str, Any] = {
        key: {"type": "integer", "minimum": 0, "maximum": count - 1} for key, count in ids.items()
    }
    properties["match_level"] = {"type": "string", "enum": list(LEVELS)}
    match = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    matches = {"type": "array", "items": match, "maxItems": min(predictions, truths)}
    return {
        "type": "object",
        "properties": {"matches": matches},
        "required": ["matches"],
        "additionalProperties": False,
    }


def read_reply(text: str) -> Matching:
    """Reads the reply of a model that matches.

    Args:
        text: The reply. What stands before the first brace and after the last one is left out.

    Returns:
        The matching.

    Raises:
        JudgeUnreadable: The reply holds no matches.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        content = json.loads(text[start : end + 1])
        return matching_of(content if isinstance(content, dict) else {})
    except (ValueError, RecursionError, BadMatching) as error:
        raise JudgeUnreadable(f"the matcher's reply holds no matches ({error}): {text[:200]!r}") from error


def _listed(errors: Sequence[LabeledError], key: str) -> str:
    fields = ("category", "severity", "location", "description")
    shown = ({key: place, **{name: getattr(error, name) for name in fields}} for place, error in enumerate(errors))
    return "\n".join(json.dumps(error, ensure_ascii=False) for error in shown)
