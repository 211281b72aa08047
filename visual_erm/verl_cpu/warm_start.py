"""Teaches the tiny policy to read, within minutes: supervised training on synthetic tables before GRPO begins.

Two things make it quick. Throw-away heads on the vision output predict the characters of each cell, so that the vision
tower learns letters before the language model can use them. And two in five labels have a row or column dropped or
doubled on purpose: the policy reads well and gets structures wrong, which is what the reward then has to mend.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from visual_erm.verl_cpu.tiny_model import build_tiny_qwen3vl, save_model
from visual_erm.verl_cpu.tiny_policy import TinyPolicy
from visual_erm.verl_cpu.tiny_tables import (
    HEADERS,
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_TEXT,
    Rows,
    damaged,
    synthetic_table,
    to_html,
)

log = logging.getLogger(__name__)

CHARACTERS = "0123456789.abcdefghijklmnopqrstuvwxyz"
"""What a cell of the synthetic tables may hold."""


@dataclass(frozen=True)
class WarmStart:
    """How long and on what the policy is taught."""

    steps: int = 500
    batch: int = 32
    learning_rate: float = 3e-3
    damaged_share: float = 0.4
    """Share of labels with a row or column dropped or doubled."""
    seed: int = 2


def synthetic_tables(how: WarmStart) -> list[Rows]:
    """The tables of a warm start, one for every place in every batch: each is seen once."""
    rng = random.Random(f"tables {how.seed}")
    return [synthetic_table(rng) for _ in range(how.steps * how.batch)]


def warm_start(out: Path, tables: Sequence[Rows], pictures: Sequence[Image.Image], how: WarmStart) -> None:
    """Builds the tiny policy in `out` and trains it on the `synthetic_tables` of `how` and their `pictures`."""
    rng = random.Random(how.seed)
    build_tiny_qwen3vl(out, seed=how.seed, words=HEADERS)
    policy = TinyPolicy.load(out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        heads = CellHeads(policy)
    weights = [*policy.model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=how.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, how.steps))
    policy.model.train()
    start = time.monotonic()
    for step in range(how.steps):
        chosen = slice(step * how.batch, (step + 1) * how.batch)
        shown = tables[chosen]
        taught = [damaged(rng, rows) if rng.random() < how.damaged_share else rows for rows in shown]
        writing = reply_loss(policy, pictures[chosen], taught)
        reading = heads.loss(shown)
        optimizer.zero_grad()
        (writing + reading).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            log.info(
                "warm start %d/%d: writing loss %.3f, reading loss %.3f, %.0f s",
                step + 1, how.steps, writing.item(), reading.item(), time.monotonic() - start,
            )  # fmt: skip
    save_model(policy.model, out)


def rate(step: int, steps: int) -> float:
    """Learning rate of a step relative to its peak: 50 steps up, level until 60%, then down to a twentieth."""
    done = step / steps
    return min(1.0, (step + 1) / 50) * (1.0 if done < 0.6 else max(0.05, 1 - (done - 0.6) / 0.4))


def reply_loss(policy: TinyPolicy, pictures: Sequence[Image.Image], tables: Sequence[Rows]) -> torch.Tensor:
    """Mean cross-entropy of the replies that write `tables`, given the pictures."""
    tokenizer = policy.processor.tokenizer
    replies = [tokenizer(to_html(rows))["input_ids"] + [tokenizer.eos_token_id] for rows in tables]
    longest = max(map(len, replies))
    ids = torch.tensor([reply + [tokenizer.pad_token_id] * (longest - len(reply)) for reply in replies])
    targets = torch.tensor([reply + [-100] * (longest - len(reply)) for reply in replies])
    logits = policy.model(**policy.inputs(pictures, ids)).logits[:, len(policy.prompt) - 1 : -1]
    return cross_entropy(logits.flatten(0, 1), targets.flatten())


class CellHeads(torch.nn.Module):
    """Predicts from each visual token the characters and the header of the cell that it sees."""

    def __init__(self, policy: TinyPolicy) -> None:
        super().__init__()
        self.sizes = [len(CHARACTERS) + 1] * MAX_TEXT + [len(HEADERS) + 1]
        self.linear = torch.nn.Linear(policy.model.config.text_config.hidden_size, sum(self.sizes))
        self.seen: torch.Tensor | None = None
        policy.model.model.visual.merger.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        self.seen = output

    def loss(self, tables: Sequence[Rows]) -> torch.Tensor:
        """Sum of the heads' cross-entropies for the pictures that the model was last shown."""
        assert self.seen is not None, "the model must be shown the pictures first"
        targets = torch.tensor([labels(rows) for rows in tables]).flatten(0, 1)
        guesses = self.linear(self.seen).split(self.sizes, dim=1)
        return torch.stack([cross_entropy(guess, targets[:, i]) for i, guess in enumerate(guesses)]).sum()


def labels(rows: Rows) -> list[list[int]]:
    """Per cell of the canvas, row by row: the number of each of its characters, then of its header; 0 for none.

    >>> labels([["sl"]])[0][:4] == [CHARACTERS.index("s") + 1, CHARACTERS.index("l") + 1, 0, 0]
    True
    """
    cells = []
    for r in range(MAX_ROWS):
        for c in range(MAX_COLUMNS):
            text = rows[r][c] if r < len(rows) and c < len(rows[r]) else ""
            letters = [CHARACTERS.index(letter) + 1 for letter in text] + [0] * (MAX_TEXT - len(text))
            cells.append([*letters, HEADERS.index(text) + 1 if text in HEADERS else 0])
    return cells
