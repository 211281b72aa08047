"""What one training step of the 8B policy holds in memory, counted tensor by tensor on a machine without a GPU.

    python benchmarks/gpu_memory.py --json memory.json

The step is that of `gpu_training.py --mode full` with text in place of the image. Its tensors have sizes and no content
(torch's FakeTensorMode), and torch's MemTracker counts those that live at once, over two micro-batches of one sequence. So
the figure is exact for the tensors of this step. It leaves out what a GPU adds: the CUDA context, workspaces of kernels,
fragmentation, and activations of the vision model. Gradients of the vision model are added, since a step on an image has
them. A minute or two per row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from gpu_model import EIGHT_B, GIB, TINY, Size, build
from gpu_training import LENGTHS, loss_of, prepared, sequence
from rich.console import Console
from rich.table import Table
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

MICRO_BATCHES = 2
"""From the second on, all gradients of the step exist."""


def tensors_gib(size: Size, length: int | None) -> dict[str, float | int]:
    """GiB of the tensors that live at once, at most, in forward and backward of one sequence."""
    asked, reply = sequence(size, length)
    with FakeTensorMode():
        model = prepared(build(size, torch.device("cpu")), "full")
        tracker = MemTracker()
        tracker.track_external(model)
        arguments = {"input_ids": torch.zeros(1, asked.tokens, dtype=torch.long)}
        with tracker:
            for _ in range(MICRO_BATCHES):
                tracker.reset_mod_stats()
                loss_of(model, arguments, reply).backward()
        peak = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
        unused = [weight for weight in model.parameters() if weight.requires_grad and weight.grad is None]
        missing = sum(weight.numel() * weight.element_size() for weight in unused)
        weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return {
        "tokens": asked.tokens,
        "reply_tokens": reply,
        "weights_gib": weights / GIB,
        "peak_gib": (peak["Total"] + missing) / GIB,
        "vision_gradients_gib": missing / GIB,
    }


def show(console: Console, figures: dict[str, Any]) -> None:
    table = Table("tokens", "of it reply", "weights GiB", "peak GiB")
    for one in figures["sequences"]:
        sizes = (f"{one[name]:.1f}" for name in ("weights_gib", "peak_gib"))
        table.add_row(str(one["tokens"]), str(one["reply_tokens"]), *sizes)
    console.print(table)


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    tiny: Annotated[bool, typer.Option(help="A tiny model: a test of this script.")] = False,
) -> None:
    """Count what a training step of an 8B policy holds in memory."""
    size, lengths = (TINY, [None]) if tiny else (EIGHT_B, [None, *LENGTHS])
    figures = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sequences": [tensors_gib(size, length) for length in lengths],
    }
    show(Console(width=120), figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
