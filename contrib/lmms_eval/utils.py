"""VC-RewardBench for lmms-eval: what a model is asked about a pair, and the figures of its replies.

    python utils.py VC-RewardBench.jsonl

writes VC-RewardBench.lmms.jsonl, which the task reads: each row as one text, so that the `datasets` library changes nothing
of it. Environment variables: VC_REWARDBENCH_ROOT, the folder of the images (default: the working folder), and
VC_REWARDBENCH_MATCHER, `offline` (default) or the YAML file of a model that matches.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from visual_erm.bench.harness import figures_of, question
from visual_erm.bench.rows import IMAGES, read_rows


def doc_to_visual(doc: dict[str, Any]) -> list[Image.Image]:
    """The reference image and the predicted one."""
    root, row = Path(os.environ.get("VC_REWARDBENCH_ROOT", ".")), json.loads(doc["row"])
    return [Image.open(root / row[key]).convert("RGB") for key in IMAGES]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> str:
    """The question about a pair."""
    return question(json.loads(doc["row"])["category"])


def doc_to_messages(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The same as a chat: the images first."""
    images = [{"type": "image", "url": image} for image in doc_to_visual(doc)]
    return [{"role": "user", "content": [*images, {"type": "text", "text": doc_to_text(doc)}]}]


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, tuple[str, str]]:
    """Each figure is of all pairs, so each metric gets the row and its reply."""
    return dict.fromkeys(("f1_hard", "f1_soft", "severity_correlation"), (doc["row"], results[0]))


def f1_hard(items: list[tuple[str, str]]) -> float:
    """F1 where a partial match does not count."""
    return _figures(tuple(map(tuple, items)))["f1_hard"]


def f1_soft(items: list[tuple[str, str]]) -> float:
    """F1 where a partial match counts as half."""
    return _figures(tuple(map(tuple, items)))["f1_soft"]


def severity_correlation(items: list[tuple[str, str]]) -> float:
    """Pearson's correlation of summed severities."""
    return _figures(tuple(map(tuple, items)))["severity_correlation"]


@functools.cache
def _figures(items: tuple[tuple[str, str], ...]) -> dict[str, float]:
    """Once for all metrics: a model that matches costs money."""
    replies = [(json.loads(row), reply) for row, reply in items]
    matcher = os.environ.get("VC_REWARDBENCH_MATCHER", "offline")
    return figures_of(replies, model="lmms-eval", matcher=matcher)["all"]


def main(rows: Path) -> None:
    """Writes the file that the task reads, beside the published one."""
    found, problems = read_rows(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    to = rows.with_suffix(".lmms.jsonl")
    to.write_text("".join(json.dumps({"row": json.dumps(row.content)}) + "\n" for row in found))
    print(f"{len(found)} pairs: {to}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
