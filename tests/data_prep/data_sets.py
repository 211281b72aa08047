"""What the tests put in, and what they look at in a data set."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]


def documented(script: str) -> list[str]:
    """What docs/data.md gives the script of this name, command by command."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    return re.findall(rf"^python data_prep/{script}\.py (.+)$", text, re.M)


def draw(path: Path, text: str, size: tuple[int, int] = (300, 120)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((5, 5, size[0] - 5, size[1] - 5), outline="black")
    pen.text((20, 20), text, fill="black")
    image.save(path)
    return path


def scans(folder: Path, names: Sequence[str] = "abcdef") -> Path:
    for name in names:
        draw(folder / f"{name}.png", name)
    return folder


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [row for split in ("train", "test") for row in pq.read_table(out / f"{split}.parquet").to_pylist()]


def truths_of(out: Path) -> set[str]:
    return {row["reward_model"]["ground_truth"] for row in rows_of(out)}


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")
