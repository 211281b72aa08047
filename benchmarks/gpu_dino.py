"""The DINO baseline on a GPU against the CPU: equal similarities, images per second, and what running out of memory does.

    python benchmarks/gpu_dino.py --json dino.json
    python benchmarks/gpu_dino.py --tiny --device cpu --runs 2

The checkpoint is a DINOv2 of the base size with random weights, written to a temporary folder. Both devices get the same
images, in turn. The images are damaged copies of one page, as rollouts of a group are.

With `--device cuda` memory runs out once: the process is allowed less than a pass needs. The comparison must raise
ComparisonFailed, which costs the policy nothing, and the next one must succeed.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import transformers
import typer
from gpu_model import conditions, median_s, peak_gib, reset_peak
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from visual_erm.errors import ComparisonFailed
from visual_erm.spec.base import shipped

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "image_size": 518, "patch_size": 14}
TINY = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
BATCHES = (1, 8, 32, 128)
IMAGES = 128
PAGE = (800, 600)
"""Width and height of an image in pixels."""
TOLERANCE = 1e-3
"""Most difference of a similarity between devices."""
LITTLE_MEMORY = 0.001
"""Share of the GPU that the process may allocate while memory is to run out."""


def reward_function() -> Any:
    """The reward function's module, loaded by path, as veRL does."""
    spec = spec_from_file_location("dino_similarity", shipped("reward_func") / "dino_similarity.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DINO = reward_function()


def checkpoint(folder: Path, shape: dict[str, int]) -> str:
    """Writes a random DINOv2 with the published size of images: 224 pixels of 256."""
    torch.manual_seed(0)
    transformers.Dinov2Model(transformers.Dinov2Config(**shape)).save_pretrained(folder)
    sizes = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
    transformers.BitImageProcessor(**sizes).save_pretrained(folder)
    return str(folder)


def page(damage: int) -> Image.Image:
    """A page of words, of which so many are painted over."""
    image = Image.new("RGB", PAGE, "white")
    draw = ImageDraw.Draw(image)
    for number in range(IMAGES):
        place = (10 + 60 * (number % 13), 10 + 55 * (number // 13))
        draw.text(place, f"{number * 37}", fill="black")
        if number < damage:
            draw.rectangle((place, (place[0] + 50, place[1] + 40)), fill=(200, 30, 30))
    return image


def speed(embedder: Any, images: list[Image.Image], device: torch.device, runs: int) -> dict[str, float]:
    """Images per second by batch size, from images to features, and peak memory."""
    found = {}
    for batch in BATCHES:
        few = images[:batch]
        reset_peak(device)
        seconds = median_s(lambda few=few: embedder(few), runs, device)  # type: ignore[misc]
        found[str(batch)] = batch / seconds
        found[f"{batch}, peak GiB"] = peak_gib(device)
    return found


async def out_of_memory(model: str, device: torch.device, images: list[Image.Image]) -> dict[str, Any]:
    """What a comparison says when memory runs out during a pass, and the next when it is back."""
    measure = DINO.Dino(model, str(device), 32)
    before = await measure.compare(images[1], images[0])
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(LITTLE_MEMORY, device)
    try:
        await asyncio.gather(*(measure.compare(image, images[0]) for image in images[2:34]))
        said = "nothing: the memory was enough"
    except ComparisonFailed as error:
        said = f"ComparisonFailed: {str(error)[:120]}"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    after = await measure.compare(images[2], images[0])
    await measure.close()
    return {"said": said, "before": before, "after": after}


def measure(device: torch.device, shape: dict[str, int], runs: int) -> dict[str, Any]:
    images = [page(damage) for damage in range(IMAGES)]
    with tempfile.TemporaryDirectory() as folder:
        model = checkpoint(Path(folder), shape)
        embedders = {"cpu": DINO.Embedder(model, "cpu"), str(device): DINO.Embedder(model, str(device))}
        similar = {}
        for name, embedder in embedders.items():
            features = embedder(images[:32])
            similar[name] = features @ features[0]
        figures = {
            "conditions": {**conditions(device), "threads": torch.get_num_threads()},
            "parameters": sum(weight.numel() for weight in embedders["cpu"]._model.parameters()),
            "runs": runs,
            "similarities": [float(similar["cpu"].min()), float(similar["cpu"].max())],
            "largest_difference": float(np.abs(similar["cpu"] - similar[str(device)]).max()),
            "images_per_s": {
                name: speed(embedder, images, torch.device(name), runs) for name, embedder in embedders.items()
            },
        }
        if device.type == "cuda":
            figures["out_of_memory"] = asyncio.run(out_of_memory(model, device, images))
            assert figures["out_of_memory"]["said"].startswith("ComparisonFailed"), figures["out_of_memory"]
    assert figures["largest_difference"] <= TOLERANCE, figures["largest_difference"]
    return figures


def show(console: Console, figures: dict[str, Any]) -> None:
    console.print(", ".join(f"{name} {value}" for name, value in figures["conditions"].items()))
    low, high = figures["similarities"]
    console.print(f"similarities {low:.4f} to {high:.4f}; largest difference {figures['largest_difference']:.1e}")
    table = Table("images per second, by batch", *map(str, BATCHES))
    for name, found in figures["images_per_s"].items():
        table.add_row(name, *(f"{found[str(batch)]:.0f}" for batch in BATCHES))
    console.print(table)
    if "out_of_memory" in figures:
        console.print(f"out of memory: {figures['out_of_memory']}")


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    device: Annotated[str, typer.Option(help="To compare with the CPU, as torch names it.")] = "cuda",
    runs: Annotated[int, typer.Option(help="Passes of each size, of which the median counts.", min=1)] = 5,
    tiny: Annotated[bool, typer.Option(help="A tiny model: a test of this script.")] = False,
) -> None:
    """Compare the DINO baseline on a GPU with the CPU."""
    console = Console(width=160)
    figures = measure(torch.device(device), TINY if tiny else BASE, runs)
    show(console, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
