"""Tables with known faults, and policies behind a real HTTP server that mend them, or make them worse."""

from __future__ import annotations

import asyncio
import base64
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from markup import table
from openai_server import OpenAIServer
from PIL import Image

from visual_erm.data.images import encode
from visual_erm.extract import Code
from visual_erm.kinds.table import TABLE
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import load_task
from visual_erm.vision.images import digest_of, load_image

PROMPT = TABLE.prompts["html"]
WRONG = "77"
Write = Callable[[str, list[str]], str]
"""Writes a reply, from the true code and the codes that the request shows, the newest last."""


def markup_of(number: int) -> str:
    """A table with a number of its own."""
    return table([["city", "rain"], ["Lima", 100 + number], ["Oslo", 400 + number], ["Rome", 800 + number]])


def with_faults(code: str, count: int) -> str:
    """The code with a wrong number in so many rows."""
    return re.sub(r"<td>\d+</td>", f"<td>{WRONG}</td>", code, count=count)


def faults_in(code: str) -> int:
    return code.count(f"<td>{WRONG}</td>")


async def drawn(codes: Sequence[str]) -> list[Image.Image]:
    """The codes as the project renders them."""
    renderer = make_renderer(load_task("table").render, pages=2)
    try:
        return list(await asyncio.gather(*(renderer.render(Code("html", code)) for code in codes)))
    finally:
        await renderer.close()


def write_rows(path: Path, shown: Sequence[Image.Image], **changes: Any) -> Path:
    """Writes a data set as data_prep does; `changes` replaces columns of every row."""
    rows = []
    for number, image in enumerate(shown):
        content = {"bytes": encode(image), "path": None}
        rows.append(
            {
                "data_source": "table",
                "prompt": [{"role": "user", "content": PROMPT}],
                "images": [content],
                "extra_info": {"index": number, "split": "test", "reference": content, "renderer_version": ""},
                **changes,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    return path


class TablePolicy:
    """Answers as `write` says, about the table whose picture comes first in a request.

    `truths` are codes and their pictures.
    """

    def __init__(self, truths: Sequence[tuple[str, Image.Image]], write: Write) -> None:
        self.truths = {digest_of(image): code for code, image in truths}
        self.write = write

    async def __call__(self, server: OpenAIServer, body: dict[str, Any]) -> web.Response:
        truth = self.truths[digest_of(pictures(body)[0])]
        text = self.write(truth, re.findall(r"<table>.*?</table>", texts(body)))
        return answered(body, text)


def answered(body: dict[str, Any], text: str, finish: str = "stop") -> web.Response:
    """A chat completion that counts tokens."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    content = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
    return web.json_response({**content, "choices": [choice], "usage": usage})


def said(*replies: str) -> Callable[[OpenAIServer, dict[str, Any]], Awaitable[web.Response]]:
    """Answers with these in turn, then with the last."""
    waiting = list(replies)

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.Response:
        return answered(body, waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


def mends_one(truth: str, drafts: list[str]) -> str:
    """Begins with one to three faults, and mends the first of them each time."""
    if not drafts:
        faults = 1 + int(re.findall(r"\d+", truth)[0]) % 3
        return f"```html\n{with_faults(truth, faults)}\n```"
    wrong, right = re.findall(r"<td>\d+</td>", drafts[-1]), re.findall(r"<td>\d+</td>", truth)
    for place in [place for place in range(len(wrong)) if wrong[place] != right[place]][:1]:
        wrong[place] = right[place]
    waiting = iter(wrong)
    return "```html\n" + re.sub(r"<td>\d+</td>", lambda _: next(waiting), drafts[-1]) + "\n```"


def makes_worse(truth: str, drafts: list[str]) -> str:
    """Begins with one fault, and adds one each time."""
    return with_faults(truth, min(1 + (faults_in(drafts[-1]) if drafts else 0), 3))


def messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    return body["messages"]


def parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All parts of a request, in order."""
    found = []
    for one in body["messages"]:
        content = one["content"]
        found += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return found


def texts(body: dict[str, Any]) -> str:
    """What a request says, without its pictures."""
    return "\n".join(part["text"] for part in parts(body) if part["type"] == "text")


def pictures(body: dict[str, Any]) -> list[Image.Image]:
    """The pictures of a request over all turns, in order."""
    urls = [part["image_url"]["url"] for part in parts(body) if part["type"] == "image_url"]
    return [load_image(io.BytesIO(base64.b64decode(url.partition("base64,")[2])).getvalue()) for url in urls]
