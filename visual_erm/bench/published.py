"""`bench run --published`: asks a judge exactly as the published evaluation of VC-RewardBench does.

    async with asking_as_published(settings, published_prompts(["table"]), find_images) as answer:
        report, unread = await answer(row, usage)

The images go out as their files are, without scaling, after the text. There is no sampling and no JSON schema. The prompts
are those of the published evaluation, which `visual-erm prompts import` reads from the user's checkout
(InternLM/Visual-ERM, evaluation scripts at c3855aa). In one thing this differs: a request that fails is tried again, and a
pair without an answer counts for nothing, where the published script takes it for one without errors.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visual_erm.bench.rows import Row, read_rows
from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.jobs.output import write_json
from visual_erm.jobs.rows import FAILED
from visual_erm.judge.chat import Chat
from visual_erm.judge.remote import PLACEHOLDER_LINES
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.prompts import evaluation_prompt, imported

SYSTEM = "You are a helpful assistant."
MAX_TOKENS = 8192
MAX_QUOTED = 400
"""Characters of a reply that a message repeats."""
_FENCE = re.compile(r"^```[\w+-]*\s*|\s*```$")


def published_prompts(categories: Iterable[str]) -> dict[str, str]:
    """Reads the imported prompts of the published evaluation.

    Args:
        categories: Categories of pairs that are asked about.

    Returns:
        By category: the text.

    Raises:
        ConfigError: None was imported, or a text is not what was imported.
    """
    found = {}
    for category in categories:
        text = imported(evaluation_prompt(category))
        if text is None:
            raise ConfigError(
                f"--published asks with the prompts of the published evaluation; that for `{category}` was not imported; "
                "fix: visual-erm prompts import CHECKOUT, with a checkout of InternLM/Visual-ERM"
            )
        found[category] = text
    return found


@contextlib.asynccontextmanager
async def asking_as_published(
    settings: JudgeSettings, prompts: Mapping[str, str], images: Callable[[Row], Sequence[Path]]
) -> AsyncIterator[Callable[[Row, JudgeUsage], Awaitable[tuple[Any, str]]]]:
    """Opens what asks about pairs.

    Args:
        settings: The servers.
        prompts: By category of pairs: the text.
        images: Finds the two images of a pair, the reference first.

    Yields:
        A function of a pair and a usage. It returns the report as the judge wrote it, and an empty text; or None, and why
        the reply was not read. A reply that cannot be read is not asked for again.
    """
    chat = Chat(settings)

    async def answer(row: Row, usage: JudgeUsage) -> tuple[Any, str]:
        contents = [await asyncio.to_thread(_encoded, path) for path in images(row)]
        request = request_for(contents, prompts[row.category])
        return await chat.ask(request, lambda text, _: read_reply(text), usage)

    try:
        yield answer
    finally:
        await chat.close()


def request_for(images: Sequence[str], prompt: str) -> dict[str, Any]:
    """Makes a request for a chat completion.

    Args:
        images: The content of both files in base64, the reference first.
        prompt: The text of the published evaluation.

    Returns:
        The body without the model's name. Every image is called a JPEG, whatever it is, as published.
    """
    urls = [f"data:image/jpeg;base64,{image}" for image in images]
    content = [
        {"type": "text", "text": PLACEHOLDER_LINES + prompt},
        *({"type": "image_url", "image_url": {"url": url, "detail": "high"}} for url in urls),
    ]
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
    return {"messages": messages, "max_tokens": MAX_TOKENS}


def read_reply(text: str) -> tuple[Any, str]:
    """Reads a reply as the published evaluation does: without a fence, else from the first brace to the last one.

    Args:
        text: The reply.

    Returns:
        The JSON object that it holds, and an empty text; or None, and why it cannot be read.
    """
    bare = _FENCE.sub("", text.strip()).strip() if text.strip().startswith("```") else text.strip()
    problem = "it holds no object"
    for part in (bare, bare[bare.find("{") : bare.rfind("}") + 1]):
        try:
            found = json.loads(part)
        except (ValueError, RecursionError) as error:
            problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            continue
        if isinstance(found, dict):
            return found, ""
    return None, f"the reply is not JSON ({problem}): {text[:MAX_QUOTED]!r}"


def lines_beside(to: Path) -> Path:
    """Finds the file of lines from which a list is made.

    Args:
        to: The list.

    Returns:
        A file beside it. A run adds to it, and goes on from it.

    Raises:
        ConfigError: The list is there, and the file of lines is not: it is of something else.
    """
    lines = to.with_name(f"{to.name}.lines")
    if to.exists() and not lines.exists():
        raise ConfigError(f"{to}: is there, and {lines.name} is not, from which a run goes on; choose another file")
    return lines


def write_list(rows: Sequence[Row], lines: Path, to: Path) -> None:
    """Writes the results of a run as one JSON list, in the order of the benchmark.

    Args:
        rows: The benchmark.
        lines: The results, one a line.
        to: The list. It is replaced at one blow.

    Raises:
        ConfigError: It cannot be written.
    """
    found = {row.id: row for row in read_rows(lines)[0]} if lines.stat().st_size else {}
    content = []
    for row in rows:
        if answer := found.get(row.id):
            unread = answer.content.get("error_parse_failed_reason") or answer.content.get(FAILED)
            content.append({"pred_json": None, **answer.content, "error_parse_failed_reason": unread})
    write_json(to, content, indent=4)


def _encoded(path: Path) -> str:
    try:
        return base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise ReferenceUnavailable(f"image {path} cannot be read: {error.strerror}") from error
