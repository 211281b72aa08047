"""A small test set of tables and drawings, a policy that answers it, and the commands that evaluate it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from openai_server import OpenAIServer, completion, images
from PIL import Image

from visual_erm.data.rows import schema
from visual_erm.extract import Code
from visual_erm.render.base import make_renderer
from visual_erm.spec.task import load_task

ROOT = Path(__file__).parents[2]
PROMPT = [{"role": "user", "content": "<image>\nWrite the code of this picture."}]


def table(number: int, changed: int = 0) -> str:
    """A table of four cells, `changed` of them with another number."""
    cells = [100 * number + 7 * place + (50 if place < changed else 0) for place in range(4)]
    return f"<table><tr><td>{cells[0]}</td><td>{cells[1]}</td></tr><tr><td>{cells[2]}</td><td>{cells[3]}</td></tr></table>"


def drawing(number: int) -> str:
    """An SVG of one square."""
    place = 20 + 30 * number
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200">'
        f'<rect x="{place}" y="{place}" width="60" height="60" fill="#c03020"/></svg>'
    )


def truths(tables: int, drawings: int) -> list[tuple[str, str]]:
    """Task and code of each row."""
    return [*(("table", table(k)) for k in range(tables)), *(("svg", drawing(k)) for k in range(drawings))]


def write_rows(folder: Path, tables: int = 4, drawings: int = 2) -> Path:
    """Writes test.parquet, with references that the renderers here made."""

    async def render_all() -> list[bytes]:
        renderers = {name: make_renderer(load_task(name).render) for name in ("table", "svg")}
        languages = {"table": "html", "svg": "svg"}
        found = []
        for task, code in truths(tables, drawings):
            buffer = io.BytesIO()
            (await renderers[task].render(Code(languages[task], code))).save(buffer, "PNG")  # type: ignore[arg-type]
            found.append(buffer.getvalue())
        await asyncio.gather(*(renderer.close() for renderer in renderers.values()))
        return found

    rows = []
    for index, ((task, code), content) in enumerate(zip(truths(tables, drawings), asyncio.run(render_all()), strict=True)):
        image = {"bytes": content, "path": None}
        rows.append(
            {
                "data_source": task,
                "prompt": PROMPT,
                "images": [image],
                "ability": "vision2code",
                "reward_model": {"style": "model", "ground_truth": code},
                "extra_info": {"index": index, "split": "test", "reference": image, "renderer_version": ""},
            }
        )
    return save_rows(folder / "test.parquet", rows)


def save_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as data_prep does."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema(embed=True)), path)
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def replying(replies: dict[bytes, Sequence[str]]) -> Any:
    """A policy that knows the picture: it writes the reply of the seed that it is sent."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> Any:
        (image,) = images(body)
        of_row = replies[pixels(image)]
        return await completion(of_row[body.get("seed", 0) % len(of_row)])(server, body)

    return answer


def pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def by_picture(rows: Path, replies: Sequence[Sequence[str]]) -> dict[bytes, Sequence[str]]:
    """Replies by the picture of their row."""
    contents = [row["images"][0]["bytes"] for row in rows_of(rows)]
    return {pixels(Image.open(io.BytesIO(content))): of_row for content, of_row in zip(contents, replies, strict=True)}


@dataclass
class Done:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def command(*words: object, cwd: Path) -> Done:
    """Runs `visual-erm` in this process: its imports take longer than its work."""
    from visual_erm.cli import main

    out, err = io.StringIO(), io.StringIO()
    former = sys.argv, os.getcwd()
    sys.argv = ["visual-erm", *map(str, words)]
    os.chdir(cwd)
    code: object = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = former[0]
        os.chdir(former[1])
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
