"""A judge of the 8B size on one GPU: memory, prefill of a request as this project sends it, and decoding of its report.

    python benchmarks/gpu_judge.py --json judge.json
    python benchmarks/gpu_judge.py --tiny --device cpu --runs 2

The model has random weights, in bf16, and is run by transformers, not by vLLM. Prefill is one call of the model on two
images at the task's longest side and a text of the prompt's length. Decoding is one call for each token, over a cache that
holds the request. It is measured twice: kernels started one by one, as `generate` does, and replayed as one CUDA graph, as
servers do. The estimate of judgements per hour adds prefill and decoding:

    seconds of a judgement = prefill / batch + REPLY_TOKENS x decode step / batch

It leaves out what vLLM does better (a prefix cache for the shared reference, prefill beside decoding, faster kernels) and
what costs it time (image processing, sampling, structured output).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from gpu_model import (
    EIGHT_B,
    GIB,
    REPLY_TOKENS,
    TASKS,
    TINY,
    WARM_UP,
    Request,
    Size,
    build,
    conditions,
    median_s,
    peak_gib,
    request,
    reset_peak,
)
from rich.console import Console
from rich.table import Table
from transformers import StaticCache

BATCHES = (1, 8, 32)


class Decoder:
    """Makes one token for each request of a batch, over a cache that is full but for the report.

    Every step attends to the whole cache, so a step costs what the last token of a report costs.
    """

    def __init__(self, model: Any, asked: Request, steps: int) -> None:
        self._model, self._batch, self._full = model, asked.batch, asked.tokens
        self._text = model.model.language_model
        length = asked.tokens + steps + WARM_UP + 1
        self._cache = StaticCache(config=model.config.get_text_config(), max_cache_len=length)
        self._ids = torch.zeros(asked.batch, 1, dtype=torch.long, device=model.device)
        self._places = torch.full((3, asked.batch, 1), asked.tokens, device=model.device)
        self._mask = torch.ones(asked.batch, 1, 1, length, dtype=torch.bool, device=model.device)
        # The first step allocates the cache.
        self.step()
        self.rewind()

    def rewind(self) -> None:
        """Forgets the tokens that were made."""
        for layer in self._cache.layers:
            layer.cumulative_length.fill_(self._full)

    @torch.inference_mode()
    def step(self) -> None:
        """Makes one token and feeds it back."""
        found = self._text(
            inputs_embeds=self._text.embed_tokens(self._ids),
            position_ids=self._places,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits = self._model.lm_head(found.last_hidden_state)
        self._ids.copy_(logits.argmax(-1))
        self._places.add_(1)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """Records a step as a CUDA graph. Returns its replay."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def prefill(model: Any, asked: Request, runs: int) -> dict[str, float]:
    """Seconds and memory to read a batch of requests, and how much of the time the vision model takes."""
    arguments = asked.on(model)
    seeing = {name: arguments[name] for name in ("pixel_values", "image_grid_thw")}

    @torch.inference_mode()
    def whole() -> None:
        model(**arguments, use_cache=True, logits_to_keep=1)

    @torch.inference_mode()
    def vision() -> None:
        model.model.visual(seeing["pixel_values"], grid_thw=seeing["image_grid_thw"])

    reset_peak(model.device)
    seconds = median_s(whole, runs, model.device)
    peak = peak_gib(model.device)
    return {"s": seconds, "vision_s": median_s(vision, runs, model.device), "peak_gib": peak}


def decode(model: Any, asked: Request, runs: int) -> dict[str, float | str]:
    """Seconds of one token for each request of a batch."""
    reset_peak(model.device)
    decoder = Decoder(model, asked, steps=runs)
    found: dict[str, float | str] = {"eager_s": median_s(decoder.step, runs, model.device)}
    if model.device.type == "cuda":
        decoder.rewind()
        try:
            # Recording takes a step more than the clock does.
            replay = captured(decoder.step)
            decoder.rewind()
            found["graph_s"] = median_s(replay, runs, model.device)
        except RuntimeError as error:
            found["graph_error"] = str(error)[:300]
    found["peak_gib"] = peak_gib(model.device)
    return found


def measure(size: Size, device: torch.device, batches: tuple[int, ...], runs: int) -> dict[str, Any]:
    reset_peak(device)
    model = build(size, device)
    figures: dict[str, Any] = {
        "conditions": conditions(device),
        "parameters": model.num_parameters(),
        "weights_gib": sum(weight.numel() * weight.element_size() for weight in model.parameters()) / GIB,
        "loaded_gib": peak_gib(device),
        "runs": runs,
        "reply_tokens": REPLY_TOKENS,
        "tasks": {},
    }
    for task in TASKS:
        for batch in batches:
            asked = request(task, size, batch)
            found: dict[str, Any] = {"tokens": asked.tokens}
            try:
                found["prefill"], found["decode"] = prefill(model, asked, runs), decode(model, asked, runs)
            except torch.OutOfMemoryError:
                found["error"] = "out of memory"
            else:
                step = found["decode"].get("graph_s", found["decode"]["eager_s"])
                found["per_hour"] = 3600 * batch / (found["prefill"]["s"] + REPLY_TOKENS * step)
            figures["tasks"][f"{task}, batch {batch}"] = found
    return figures


def show(console: Console, figures: dict[str, Any]) -> None:
    console.print(", ".join(f"{name} {value}" for name, value in figures["conditions"].items()))
    console.print(f"weights {figures['weights_gib']:.2f} GiB, most while loading {figures['loaded_gib']:.2f} GiB")
    table = Table(
        "request", "tokens", "prefill ms", "of it vision", "peak GiB", "token ms", "as graph", "tokens/s", "judgements/h"
    )
    for name, found in figures["tasks"].items():
        if "error" in found:
            table.add_row(name, str(found["tokens"]), found["error"])
            continue
        read, write, batch = found["prefill"], found["decode"], int(name.split()[-1])
        graph = f"{1e3 * write['graph_s']:.2f}" if "graph_s" in write else write.get("graph_error", "-")
        table.add_row(
            name, str(found["tokens"]), f"{1e3 * read['s']:.1f}", f"{1e3 * read['vision_s']:.1f}",
            f"{read['peak_gib']:.1f}", f"{1e3 * write['eager_s']:.2f}", graph,
            f"{batch / write.get('graph_s', write['eager_s']):.0f}", f"{found['per_hour']:,.0f}",
        )  # fmt: skip
    console.print(table)


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    device: Annotated[str, typer.Option(help="As torch names it.")] = "cuda",
    runs: Annotated[int, typer.Option(help="Calls of each kind, of which the median counts.", min=1)] = 7,
    tiny: Annotated[bool, typer.Option(help="A tiny model and small requests: a test of this script.")] = False,
) -> None:
    """Measure a judge of the 8B size with random weights."""
    console = Console(width=180)
    batches = BATCHES[:2] if tiny else BATCHES
    figures = measure(TINY if tiny else EIGHT_B, torch.device(device), batches, runs)
    show(console, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
