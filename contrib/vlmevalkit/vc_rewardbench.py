"""VC-RewardBench for VLMEvalKit: a data set class, and the TSV that it reads.

    python vc_rewardbench.py VC-RewardBench.jsonl images $LMUData/VC-RewardBench.tsv

The TSV names the images by their whole paths: VLMEvalKit keeps pictures that it decoded by their index, also those of an
older TSV. Each row stands in one column as JSON, so that no id or text becomes a number.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from vlmeval.dataset.image_base import ImageBaseDataset
from vlmeval.smp import LMUDataRoot, dump, load
from vlmeval.smp.file import get_intermediate_file_path

from visual_erm.bench.harness import figures_of, question
from visual_erm.bench.rows import IMAGES, read_rows

NAME = "VC-RewardBench"


class VCRewardBench(ImageBaseDataset):
    """1,335 pairs of a reference image and a predicted one. A model lists what differs; people have listed it too."""

    TYPE = "VQA"
    DATASET_URL = {NAME: ""}  # noqa: RUF012 - as the base class has it
    DATASET_MD5 = {}  # noqa: RUF012

    def load_data(self, dataset: str) -> pd.DataFrame:
        """Reads the TSV of the data folder."""
        path = Path(LMUDataRoot()) / f"{dataset}.tsv"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: write it first: python {Path(__file__).name} VC-RewardBench.jsonl IMAGES {path}"
            )
        return load(str(path))

    def evaluate(self, eval_file: str, **judge_kwargs: Any) -> dict[str, Any]:
        """Scores the predictions of a model.

        `matcher` in `judge_kwargs` is `offline` (default), or the YAML file of a model that matches.
        """
        data = load(eval_file)
        replies = [
            (json.loads(row), "" if pd.isna(reply) else str(reply))
            for row, reply in zip(data["row"], data["prediction"], strict=True)
        ]
        figures = figures_of(replies, model=Path(eval_file).stem, matcher=judge_kwargs.get("matcher", "offline"))
        dump(figures, get_intermediate_file_path(eval_file, "_score", "json"))
        return figures


def write_tsv(rows: Path, root: Path, to: Path) -> None:
    """Writes the TSV of a published file and its images."""
    found, problems = read_rows(rows)
    for problem in problems:
        print(problem, file=sys.stderr)
    table = pd.DataFrame(
        {
            "index": range(len(found)),
            "image_path": [str([str(row.path(key, root).resolve()) for key in IMAGES]) for row in found],
            "category": [row.category for row in found],
            "question": [question(row.category) for row in found],
            "row": [json.dumps(row.content) for row in found],
        }
    )
    table.to_csv(to, sep="\t", index=False)
    print(f"{len(found)} pairs: {to}")


if __name__ == "__main__":
    write_tsv(*map(Path, sys.argv[1:]))
