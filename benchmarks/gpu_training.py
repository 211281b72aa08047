"""One training step of the 8B policy on one GPU: peak memory and time of forward and backward, without an optimizer.

    python benchmarks/gpu_training.py --json training.json
    python benchmarks/gpu_training.py --tiny --device cpu --runs 1

One sequence of one image of 1280 x 1280 pixels, a prompt and a reply, in bf16 and with gradient checkpointing. The loss is
the policy gradient's: the mean of advantage x log-probability of the reply. The head works on every position, as veRL's
does on a packed sequence. The peak bounds `ppo_max_token_len_per_gpu` from above for a GPU that holds the whole policy:

    full    gradients of all parameters, in bf16: weights, gradients and activations
    lora    adapters of rank 64 as configs/cluster/1gpu.yaml has them, weights frozen

Optimizer states, veRL's weights in 32 bit, the reference policy and the rollouts' share are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from gpu_model import (
    EIGHT_B,
    GIB,
    TINY,
    Request,
    Size,
    build,
    conditions,
    image_tokens,
    median_s,
    peak_gib,
    reset_peak,
    shown,
)
from rich.console import Console
from rich.table import Table

IMAGE_SIDE = 1280
"""Side in pixels of the policy's image: the largest that data_prep/ writes, unless --longest-side says otherwise."""
PROMPT_TOKENS = 115
"""Tokens of the policy's prompt without its image, chat format included: that of charts, the longest of the kinds."""
REPLY_TOKENS = 2048
LENGTHS = (8192, 16384)
"""Further lengths in tokens of a sequence: ppo_max_token_len_per_gpu, and the published prompt and reply together."""
LORA_RANK = 64


def sequence(size: Size, length: int | None) -> tuple[Request, int]:
    """A sequence of an image, a prompt and a reply, and the length of the reply.

    `length`: tokens of the sequence; None: those of a reply of REPLY_TOKENS.
    """
    side = IMAGE_SIDE if size is EIGHT_B else 256
    image = image_tokens(side, side)
    reply = REPLY_TOKENS if length is None else length - image - PROMPT_TOKENS
    return Request((shown(side, side),), PROMPT_TOKENS + reply, 1, size), reply


def loss_of(model: Any, arguments: dict[str, torch.Tensor], reply: int) -> torch.Tensor:
    """The policy gradient's loss of one sequence, with an advantage of one."""
    logits = model(**arguments, use_cache=False).logits
    targets = arguments["input_ids"][0, -reply:]
    return torch.nn.functional.cross_entropy(logits[0, -reply - 1 : -1], targets)


def step(model: Any, asked: Request, reply: int, runs: int) -> dict[str, float | int | str]:
    """Seconds and memory of forward and backward. Gradients stay allocated until the next, as between micro-batches."""
    arguments = asked.on(model)
    found: dict[str, float | int | str] = {
        "tokens": asked.tokens,
        "image_tokens": asked.image_tokens,
        "reply_tokens": reply,
    }
    reset_peak(model.device)
    try:
        found["s"] = median_s(lambda: loss_of(model, arguments, reply).backward(), runs, model.device)
        found["peak_gib"] = peak_gib(model.device)
        if model.device.type == "cuda":
            found["reserved_gib"] = torch.cuda.max_memory_reserved(model.device) / GIB
    except torch.OutOfMemoryError:
        found["error"] = "out of memory"
    model.zero_grad(set_to_none=True)
    return found


def prepared(model: Any, mode: str) -> Any:
    """The model ready for training: all of it, or adapters beside it."""
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if mode == "full":
        return model.train()
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules="all-linear", exclude_modules=".*visual.*")
    return get_peft_model(model, adapters).train()


def measure(size: Size, device: torch.device, modes: list[str], runs: int) -> dict[str, Any]:
    figures: dict[str, Any] = {"conditions": conditions(device), "runs": runs, "modes": {}}
    for mode in modes:
        model = prepared(build(size, device), mode)
        trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        figures["modes"][mode] = {"trained": trained, "sequences": list(_sequences(size, model, runs))}
        del model
        reset_peak(device)
    return figures


def _sequences(size: Size, model: Any, runs: int) -> Iterator[dict[str, float | int | str]]:
    for length in (None, *LENGTHS) if size is EIGHT_B else (None,):
        yield step(model, *sequence(size, length), runs)


def show(console: Console, figures: dict[str, Any]) -> None:
    console.print(", ".join(f"{name} {value}" for name, value in figures["conditions"].items()))
    table = Table("mode", "trained parameters", "tokens", "of it reply", "s", "peak GiB", "reserved GiB")
    for mode, found in figures["modes"].items():
        for one in found["sequences"]:
            measured = [one["error"]] * 3 if "error" in one else [
                f"{one['s']:.2f}", f"{one['peak_gib']:.1f}", f"{one.get('reserved_gib', 0):.1f}"
            ]  # fmt: skip
            table.add_row(mode, f"{found['trained']:,}", str(one["tokens"]), str(one["reply_tokens"]), *measured)
    console.print(table)


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cuda",
    modes: Annotated[list[str] | None, typer.Option("--mode", help="full or lora; both if left out.")] = None,
    runs: Annotated[int, typer.Option(help="Steps, of which the median counts.", min=1)] = 3,
    tiny: Annotated[bool, typer.Option(help="A tiny model: a test of this script.")] = False,
) -> None:
    """Measure a training step of an 8B policy with random weights."""
    console = Console(width=160)
    figures = measure(TINY if tiny else EIGHT_B, torch.device(device), modes or ["full", "lora"], runs)
    show(console, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
