"""What the tests put in: rows of data, and runs over a folder with a model and data."""

from __future__ import annotations

import copy
import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageDraw

from visual_erm import train
from visual_erm.preflight.checks import CHECKS, run_check
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Outcome
from visual_erm.preflight.overrides import composed


def row(index: int, split: str = "train", **changed: Any) -> dict[str, Any]:
    """A row of the data: a image of a small table, each with another number."""
    image = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(image).text((8, 20), str(100 + index), fill="black", font_size=12)
    content = io.BytesIO()
    image.save(content, "PNG")
    whole = {
        "data_source": "table",
        "prompt": [{"role": "user", "content": "<image>html" + " please" * (index % 3)}],
        "images": [{"bytes": content.getvalue(), "path": None}],
        "reward_model": {"style": "model", "ground_truth": f"<table><tr><td>{100 + index}</td></tr></table>"},
        "extra_info": {
            "index": index,
            "split": split,
            "reference": {"bytes": content.getvalue(), "path": None},
            "renderer_version": "",
        },
    }  # fmt: skip
    extra = {**whole["extra_info"], **changed.pop("extra_info", {})}
    return {**whole, **changed, "extra_info": extra}


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


GROUPS = ("engine", "task", "judge", "reward", "agent", "cluster", "policy")


@functools.cache
def _groups(*words: str) -> DictConfig:
    """The recipe of these groups: composing it takes most of a second."""
    config, problems = composed([word for word in words if word])
    assert config is not None and not problems, problems
    return config


def read(*words: str) -> DictConfig:
    """The recipe with these words, before anything else is done with it."""
    chosen = {word.partition("=")[0]: word for word in words if word}
    chosen = {key: word for key, word in chosen.items() if not word.endswith("=")}
    config = copy.deepcopy(_groups(*(chosen.pop(key, "") for key in GROUPS)))
    for word in map(OverridesParser.create().parse_override, chosen.values()):
        OmegaConf.update(config, word.key_or_group, word.value(), force_add=word.is_add())
    return config


@dataclass(frozen=True)
class Run:
    """A folder with a model and data, and the words of a command line that point to them."""

    folder: Path

    @property
    def words(self) -> list[str]:
        return [
            "cluster=cpu", "policy=tiny", f"run_dir={self.folder / 'run'}",
            f"actor_rollout_ref.model.path={self.folder / 'model'}",
            f"data.train_files={self.folder / 'train.parquet'}", f"data.val_files={self.folder / 'test.parquet'}",
            "data.train_batch_size=4", "actor_rollout_ref.rollout.n=4", "trainer.total_training_steps=3",
        ]  # fmt: skip

    def case(self, *words: str) -> RunContext:
        """The run with other words: each takes the place of the one of its key; without a value, it only takes it away."""
        config = read(*self.words, *words)
        train.prepare(config)
        return RunContext(config)

    def look(self, title: str, *words: str) -> Outcome:
        """One check of the run that these words make of it."""
        (check,) = (check for check in CHECKS if check.title == title)
        return run_check(self.case(*words), check)
