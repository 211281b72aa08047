"""The messages that ask a policy to revise a draft.

    conversation = revision("conversation", asked, first, reply, request_of(reply, result, task), url_of_render)

`asked` are the messages that the draft answers, `first` are those of the first round. Markers in what the policy wrote are
broken before it is shown again (`inert`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from visual_erm.extract import Code
from visual_erm.extract.fences import without_thinking
from visual_erm.policy.client import Message, Reply, message
from visual_erm.refine.feedback import feedback, inert, text_of
from visual_erm.spec.task import Task

if TYPE_CHECKING:
    from visual_erm.pipeline import RewardResult

History = Literal["fresh", "conversation"]
"""How much of the rounds before a policy is shown."""
_BACKTICKS = re.compile(r"`{3,}")


def request_of(reply: Reply, result: RewardResult, task: Task, judged: bool = True) -> str:
    """Writes the request for a revision.

    Args:
        reply: The draft.
        result: What became of it.
        task: Its task.
        judged: Whether a judge looked at the draft. Otherwise the policy is told to look by itself.

    Returns:
        The text. It holds one place of an image where the draft has a render, else none.
    """
    parts = [text_of("cut")] if reply.truncated else []
    if result.image is not None:
        parts.append(text_of("render"))
    if judged or result.image is None:
        parts.append(feedback(result, task))
    else:
        parts.append(text_of("reflect", languages=" or ".join(task.languages)))
    return "\n\n".join(parts)


def revision(
    history: History,
    first: Sequence[Message],
    asked: Sequence[Message],
    reply: Reply,
    code: Code | None,
    request: str,
    render: str | None,
) -> list[Message]:
    """Makes the messages of the next round.

    Args:
        history: `conversation`: all rounds before, as turns. `fresh`: the first prompt, and in it the draft.
        first: The messages of the first round.
        asked: The messages that the draft answers.
        reply: The draft.
        code: Its code; None where it holds none.
        request: The request for a revision.
        render: Data URL of the draft's render; None where there is none.

    Returns:
        The messages.
    """
    images = [render] if render else []
    if history == "conversation":
        said = inert(without_thinking(reply.text)).strip()
        # Chat templates refuse a turn without text.
        return [*asked, message("assistant", said or "(no answer)"), message("user", request, images)]
    parts = [text_of("draft", code=_fenced(code))] if code else []
    return _with_text(first, "\n\n".join([*parts, request]), images)


def _with_text(messages: Sequence[Message], text: str, images: Sequence[str]) -> list[Message]:
    """The messages with more text at the end of the last one: many chat templates refuse two turns of one role in a row."""
    last = dict(messages[-1])
    added = message(last["role"], f"\n\n{text}", images)["content"]
    last["content"] = [*_parts(last["content"]), *_parts(added)]
    return [*messages[:-1], last]


def _parts(content: str | list[Message]) -> list[Message]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _fenced(code: Code) -> str:
    """The code in a fence that is longer than any in it."""
    longest = max((len(found) for found in _BACKTICKS.findall(code.text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{code.language}\n{inert(code.text)}\n{fence}"
