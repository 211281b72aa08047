"""The warm start: teaches the tiny policy to read by supervised training on synthetic samples, before GRPO begins.

Temporary heads on the vision output predict what is in each cell, letter by letter, so that the vision tower learns to read
early. Two in five labels have a part missing, too many or wrong. So the policy reads well and gets structures wrong, which
the reward then corrects.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import cross_entropy

from visual_erm.demo.tiny_data import Asked
from visual_erm.demo.tiny_policy import TinyPolicy
from visual_erm.demo.tiny_problem import MAX_COLUMNS, MAX_ROWS, MAX_TEXT, Place, TinyProblem
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl, save_model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """Settings of a warm start."""

    steps: int = 500
    batch: int = 32
    learning_rate: float = 3e-3
    damaged_share: float = 0.4
    """Share of labels with a part missing, too many or wrong, 0 to 1."""
    seed: int = 2


def synthetic_samples(problems: Sequence[TinyProblem], how: WarmStart) -> list[Asked]:
    """Makes the samples of a warm start, of each problem in turn.

    Args:
        problems: The problems.
        how: Settings of the warm start.

    Returns:
        One sample for every position in every batch; each is used once.
    """
    rngs = [random.Random(f"{problem.task}s {how.seed}") for problem in problems]
    turns = (i % len(problems) for i in range(how.steps * how.batch))
    return [(problems[turn], problems[turn].synthetic(rngs[turn])) for turn in turns]


def build(out: Path, problems: Sequence[TinyProblem], seed: int) -> None:
    """Builds an untrained policy that has a token for all that the problems' code is made of.

    Args:
        out: Folder of the policy.
        problems: The problems.
        seed: Seed of the weights.
    """
    words = {word: None for problem in problems for word in (problem.prompt, *problem.words)}
    runs = {run: None for problem in problems for run in problem.runs}
    build_tiny_qwen3vl(out, seed=seed, words=[*words], runs=[*runs])


def warm_start(out: Path, samples: Sequence[Asked], images: Sequence[Image.Image], how: WarmStart) -> None:
    """Builds a policy and trains it.

    Args:
        out: Folder of the policy.
        samples: What `synthetic_samples` made for `how`.
        images: The policy's image of each sample.
        how: Settings of the warm start.
    """
    rng = random.Random(how.seed)
    build(out, [*{problem.task: problem for problem, _ in samples}.values()], how.seed)
    policy = TinyPolicy.load(out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        heads = CellHeads(policy, samples)
    weights = [*policy.model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=how.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, how.steps))
    policy.model.train()
    start = time.monotonic()
    for step in range(how.steps):
        chosen = slice(step * how.batch, (step + 1) * how.batch)
        shown = samples[chosen]
        taught = [
            (problem, problem.damaged(rng, sample) if rng.random() < how.damaged_share else sample)
            for problem, sample in shown
        ]
        writing = reply_loss(policy, images[chosen], taught)
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
    """Computes the learning rate: 50 steps up, constant until 60 %, then down to a twentieth.

    Args:
        step: The step, from 0.
        steps: Number of steps.

    Returns:
        Learning rate relative to its peak, 0 to 1.
    """
    done = step / steps
    return min(1.0, (step + 1) / 50) * (1.0 if done < 0.6 else max(0.05, 1 - (done - 0.6) / 0.4))


def reply_loss(policy: TinyPolicy, images: Sequence[Image.Image], samples: Sequence[Asked]) -> torch.Tensor:
    """Computes the mean cross-entropy of replies.

    Args:
        policy: The policy.
        images: The images.
        samples: The sample that each reply should write.

    Returns:
        The loss, a scalar.
    """
    tokenizer = policy.processor.tokenizer
    replies = [tokenizer(problem.write(sample))["input_ids"] + [tokenizer.eos_token_id] for problem, sample in samples]
    longest = max(map(len, replies))
    ids = torch.tensor([reply + [tokenizer.pad_token_id] * (longest - len(reply)) for reply in replies])
    targets = torch.tensor([reply + [-100] * (longest - len(reply)) for reply in replies])
    inputs = policy.inputs([problem.prompt for problem, _ in samples], images, ids)
    logits = policy.model(**inputs).logits[:, -longest - 1 : -1]
    return cross_entropy(logits.flatten(0, 1), targets.flatten())


class CellHeads(torch.nn.Module):
    """Heads that predict, from each visual token, the letters and the word in its cell.

    Args:
        policy: The policy whose vision output the heads read.
        samples: All samples of the warm start, which give the vocabulary.
    """

    def __init__(self, policy: TinyPolicy, samples: Sequence[Asked]) -> None:
        super().__init__()
        seen = {text for problem, sample in samples for cell in problem.sight(sample).values() for text in cell}
        self.numbers = {text: i for i, text in enumerate(["", *sorted(seen - {""})])}
        width = policy.model.config.text_config.hidden_size
        self.heads = torch.nn.ModuleList(torch.nn.Linear(width, len(self.numbers)) for _ in range(MAX_TEXT + 1))
        self.seen: torch.Tensor | None = None
        policy.model.model.visual.merger.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        self.seen = output

    def loss(self, samples: Sequence[Asked]) -> torch.Tensor:
        """Computes the heads' loss for the images that the model processed last.

        Args:
            samples: The samples of these images.

        Returns:
            Sum of the heads' cross-entropies, a scalar.
        """
        assert self.seen is not None, "the model must process the images first"
        cells = torch.tensor([cell for problem, sample in samples for cell in self.labels(problem.sight(sample))])
        return torch.stack([cross_entropy(head(self.seen), cells[:, i]) for i, head in enumerate(self.heads)]).sum()

    def labels(self, sight: Mapping[Place, Sequence[str]]) -> list[list[int]]:
        """Numbers what is in each cell of the canvas.

        Args:
            sight: Contents of cells, as `TinyProblem.sight` gives them.

        Returns:
            Numbers of letters and word of each cell, row by row; 0 for nothing.
        """
        places = [(row, column) for row in range(MAX_ROWS) for column in range(MAX_COLUMNS)]
        cells = [[self.numbers[text] for text in sight.get(place, ())] for place in places]
        return [cell + [0] * (len(self.heads) - len(cell)) for cell in cells]
