"""Sizes of an 8B judge and policy: parameters, memory of a token, image tokens, and what no GPU can be faster than.

    python benchmarks/gpu_sizes.py

Needs no GPU: the model is built without memory, and images are counted by transformers' own rule. The bounds come from a
card's data sheet, so they are arithmetic and no measurement: a server takes longer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from gpu_model import (
    EIGHT_B,
    GIB,
    MAX_PIXELS,
    REPLY_TOKENS,
    TASKS,
    TOKEN_SIDE,
    Request,
    build,
    image_tokens,
    judged_side,
    request,
)
from rich.console import Console
from rich.table import Table

BYTES = 2
"""Of a number in bf16."""
SEQS = 64
"""Requests at once: the default of `visual-erm serve --max-seqs`."""
MEMORIES_GIB = (24, 40, 80)
"""Memory of the GPUs for which the requests at once are counted."""
MEMORY_SHARE = 0.9
"""Of a GPU's memory, which the server takes: `gpu_memory_utilization` in configs/judge/colocated.yaml."""
POLICY_IMAGES = ((336, 336), (640, 480), (1280, 1280), (2480, 3508), (4000, 4000))
"""Width and height of images that a policy may be shown: a drawing, matplotlib's default at dpi=100, the largest that
data_prep/ writes, a page of A4 at 300 dpi, and the largest image that `max_pixels` allows."""


@dataclass(frozen=True)
class Card:
    """NVIDIA's data sheet of a card."""

    flops: float
    """Operations in bf16 per second, without sparsity."""
    bandwidth: float
    """Bytes per second of the memory."""


CARDS = {"H100 SXM": Card(989e12, 3.35e12), "H200 SXM": Card(989e12, 4.8e12)}


def parameters(model: Any) -> dict[str, int]:
    """Numbers of parameters by part. Those in matrix products of every token are `layers` and `head`."""
    counts = {"vision": 0, "embedding": 0, "layers": 0, "head": 0}
    for name, weight in model.named_parameters():
        visual, embedding, head = ".visual." in name, "embed_tokens" in name, "lm_head" in name
        counts["vision" if visual else "embedding" if embedding else "head" if head else "layers"] += weight.numel()
    return counts


def kv_bytes() -> int:
    """Bytes of the key-value cache for one token, in bf16."""
    text = EIGHT_B.text
    return 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * text["head_dim"] * BYTES


def most_at_once(asked: Request, weights: int, memory_gib: int) -> int:
    """Requests whose cache fits beside the weights, each with its report. Activations of the server are not counted."""
    room = MEMORY_SHARE * memory_gib * GIB - weights
    return int(room / ((asked.tokens + REPLY_TOKENS) * kv_bytes()))


def prefill_flops(asked: Request, model: Any) -> float:
    """Operations to read one request: two for each weight and token, and those of attention.

    Attention takes 4 x width operations for each pair of tokens and each layer. The language model looks at half of the
    pairs. The vision model looks at the pairs of patches within an image.
    """
    text, vision = EIGHT_B.text, EIGHT_B.vision
    width = text["num_attention_heads"] * text["head_dim"]
    blocks = sum(weight.numel() for weight in model.model.visual.blocks.parameters())
    mergers = sum(weight.numel() for name, weight in model.model.visual.named_parameters() if "merger" in name)
    language = 2 * parameters(model)["layers"] * asked.tokens
    language += 4 * width * text["num_hidden_layers"] * asked.tokens**2 / 2
    patches = [4 * side[0] * side[1] // TOKEN_SIDE**2 for side in asked.images]
    seeing = sum(2 * blocks * count + 4 * vision["hidden_size"] * vision["depth"] * count**2 for count in patches)
    # A merger works on four patches at once.
    return language + seeing + 2 * mergers * asked.image_tokens


def decode_s(asked: Request, model: Any, card: Card, batch: int) -> float:
    """Least seconds of one token for each of `batch` requests: weights and cache are read once."""
    counts = parameters(model)
    weights = BYTES * (counts["layers"] + counts["head"])
    cache = batch * (asked.tokens + REPLY_TOKENS / 2) * kv_bytes()
    return (weights + cache) / card.bandwidth


def bounds(asked: Request, model: Any, card: Card) -> dict[str, float]:
    """Least seconds of a judgement, with SEQS of them at once, and how many an hour has at most."""
    prefill = prefill_flops(asked, model) / card.flops
    decode = REPLY_TOKENS * decode_s(asked, model, card, SEQS) / SEQS
    return {"prefill_ms": 1e3 * prefill, "decode_ms": 1e3 * decode, "per_hour": 3600 / (prefill + decode)}


def measure() -> dict[str, Any]:
    model = build(EIGHT_B, torch.device("meta"))
    counts = parameters(model)
    weights = BYTES * sum(counts.values())
    tasks = {}
    for task in TASKS:
        asked = request(task, EIGHT_B, 1)
        tasks[task] = {
            "longest_side": judged_side(task),
            "tokens_of_an_image": asked.image_tokens // 2,
            "text_tokens": asked.text,
            "tokens": asked.tokens,
            "cache_mib": (asked.tokens + REPLY_TOKENS) * kv_bytes() / 2**20,
            "most_at_once": {str(memory): most_at_once(asked, weights, memory) for memory in MEMORIES_GIB},
            "prefill_tflop": prefill_flops(asked, model) / 1e12,
            "bounds": {name: bounds(asked, model, card) for name, card in CARDS.items()},
        }
    return {
        "parameters": {**counts, "all": sum(counts.values())},
        "weights_gib": weights / GIB,
        "cache_kib_per_token": kv_bytes() / 1024,
        "tasks": tasks,
        "policy": {f"{width}x{height}": image_tokens(width, height) for width, height in POLICY_IMAGES},
        "most_image_tokens": MAX_PIXELS // TOKEN_SIDE**2,
    }


def show(console: Console, figures: dict[str, Any]) -> None:
    counts = figures["parameters"]
    parts = ", ".join(f"{name} {count / 1e9:.3f}" for name, count in counts.items() if name != "all")
    console.print(
        f"parameters  {counts['all'] / 1e9:.3f} B ({parts}), "
        f"{figures['weights_gib']:.2f} GiB in bf16; {figures['cache_kib_per_token']:.0f} KiB of cache per token"
    )
    at_once = f"at once in {', '.join(map(str, MEMORIES_GIB))} GiB"
    names = (f"{name}: per hour <" for name in CARDS)
    table = Table("judge's request", "side", "tokens", "cache MiB", at_once, "prefill TFLOP", *names)
    for task, found in figures["tasks"].items():
        table.add_row(
            task, str(found["longest_side"]),
            f"2 x {found['tokens_of_an_image']} + {found['text_tokens']} = {found['tokens']}",
            f"{found['cache_mib']:.0f}", ", ".join(map(str, found["most_at_once"].values())),
            f"{found['prefill_tflop']:.1f}",
            *(
                f"3600 s / ({one['prefill_ms']:.1f} + {one['decode_ms']:.1f} ms) = {one['per_hour']:,.0f}"
                for one in found["bounds"].values()
            ),
        )  # fmt: skip
    console.print(table)
    console.print(
        "image of the policy -> tokens:", ", ".join(f"{name} {count}" for name, count in figures["policy"].items())
    )


def main(json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None) -> None:
    """Count parameters, cache and image tokens, and compute what no card can be faster than."""
    console = Console(width=220)
    figures = measure()
    show(console, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
