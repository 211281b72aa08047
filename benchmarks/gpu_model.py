"""What the other `gpu_*.py` share: a Qwen3-VL of the 8B size with random weights, requests of this project's size, a clock.

Nothing is downloaded. Time and memory of a model depend on its sizes, not on its weights. `TINY` replaces the sizes, so
that every script also runs on a CPU within seconds, as a test of the script.

    model = build(EIGHT_B, torch.device("cuda"))
    seconds = median_s(lambda: model(**request("table", EIGHT_B, batch=1).on(model)), runs=7, device=model.device)
"""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml
import torch
import transformers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from visual_erm.spec.task import load_task

GIB = 2**30
PATCH = 16
"""Side of a vision patch in pixels."""
MERGE = 2
"""Patches of each side of the square that becomes one token."""
TOKEN_SIDE = PATCH * MERGE
"""Side in pixels of the square that becomes one token."""
MIN_PIXELS, MAX_PIXELS = 65536, 16777216
"""Pixels to which the published processor enlarges smaller images and reduces larger ones: `size` of its
preprocessor_config.json."""
TASKS = ("table", "chart", "svg")
TEXT_TOKENS = {"table": 233, "chart": 409, "svg": 352}
"""Tokens of a judge's request without its image tokens: system message, prompt and chat format.

Counted on 2026-11-28 for the prompts of configs/task/prompts/ with Qwen's vocabulary of 151,643 byte-level tokens. Imported
prompts have other lengths."""
REPLY_TOKENS = 150
"""Tokens of a report. An assumption: no report of the published model was counted."""
WARM_UP = 3
"""Calls before the clock starts."""


@dataclass(frozen=True)
class Size:
    """Sizes of a Qwen3-VL."""

    text: dict[str, Any]
    vision: dict[str, Any]
    special: int
    """Id of the image token. The tokens before it are text."""


EIGHT_B = Size(
    text={
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True, "mrope_section": [24, 20, 20],
        },
    },
    vision={
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "out_hidden_size": 4096,
        "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24],
    },
    special=151655,
)  # fmt: skip
"""Qwen3-VL-8B. The defaults of transformers' config class are those of no published size."""
TINY = Size(
    text={
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 1e4, "mrope_interleaved": True, "mrope_section": [4, 2, 2],
        },
    },
    vision={
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
        "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
    },
    special=500,
)  # fmt: skip
"""For trying the scripts on a CPU."""


@dataclass(frozen=True)
class Request:
    """A batch of equal requests with random text and random pixels."""

    images: tuple[tuple[int, int], ...]
    """Width and height of each image of one request, in pixels, as the model's processor leaves them."""
    text: int
    """Tokens that are not of an image."""
    batch: int
    size: Size

    @property
    def image_tokens(self) -> int:
        """Image tokens of one request."""
        return sum(width * height // TOKEN_SIDE**2 for width, height in self.images)

    @property
    def tokens(self) -> int:
        """All tokens of one request."""
        return self.image_tokens + self.text

    def on(self, model: Any) -> dict[str, torch.Tensor]:
        """Makes the model's arguments, on its device and with its type of numbers. The images come first, then the text."""
        text = torch.randint(0, self.size.special, (self.batch, self.text))
        ids = torch.cat([torch.full((self.batch, self.image_tokens), self.size.special), text], dim=1)
        # The model tells two images apart by what stands between them.
        place = 0
        for width, height in self.images[:-1]:
            place += width * height // TOKEN_SIDE**2
            ids[:, place:] = torch.cat([text[:, :1], ids[:, place:-1]], dim=1)
            place += 1
        grid = torch.tensor([[1, height // PATCH, width // PATCH] for width, height in self.images])
        pixels = torch.rand(self.batch * int(grid.prod(1).sum()), 3 * 2 * PATCH**2)
        return {
            "input_ids": ids.to(model.device),
            "mm_token_type_ids": (ids == self.size.special).int().to(model.device),
            "pixel_values": pixels.to(model.device, model.dtype),
            "image_grid_thw": grid.repeat(self.batch, 1).to(model.device),
        }


def config(size: Size) -> Qwen3VLConfig:
    """The configuration of a model of that size."""
    return Qwen3VLConfig(
        text_config=size.text,
        vision_config=size.vision,
        image_token_id=size.special,
        video_token_id=size.special + 1,
        vision_start_token_id=size.special + 2,
        vision_end_token_id=size.special + 3,
        tie_word_embeddings=False,
    )


def build(size: Size, device: torch.device, attention: str = "sdpa") -> Any:
    """Makes a model with random weights in bf16, directly on the device. On `meta` it takes no memory."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            settings = config(size)
            settings._attn_implementation = attention
            return Qwen3VLForConditionalGeneration(settings).eval()
    finally:
        torch.set_default_dtype(before)


def shown(width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels to which the published processor scales an image."""
    height, width = smart_resize(height, width, TOKEN_SIDE, MIN_PIXELS, MAX_PIXELS)
    return width, height


def image_tokens(width: int, height: int) -> int:
    """Tokens that the model sees of an image of so many pixels."""
    width, height = shown(width, height)
    return width * height // TOKEN_SIDE**2


def judged_side(task: str) -> int:
    """Longest side in pixels of an image that the judge of a task gets. Drawings have one size, and none is scaled up."""
    loaded = load_task(task)
    longest = loaded.judge.image.longest_side
    return min(longest, loaded.render.width) if task == "svg" else longest  # type: ignore[attr-defined]


def request(task: str, size: Size, batch: int) -> Request:
    """The largest request to the judge of a task: two square images at the task's longest side, and its text."""
    side = judged_side(task) if size is EIGHT_B else 256
    return Request((shown(side, side),) * 2, TEXT_TOKENS[task] if size is EIGHT_B else 16, batch, size)


def median_s(work: Callable[[], object], runs: int, device: torch.device) -> float:
    """Median seconds of a call, after WARM_UP calls, each to the end of what it started on the device."""
    for _ in range(WARM_UP):
        work()
    seconds = []
    for _ in range(runs):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def synchronize(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_gib(device: torch.device) -> float:
    """Most memory that tensors took since `reset_peak`, in GiB; 0 on a CPU, where torch does not count it."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else 0.0


def reset_peak(device: torch.device) -> None:
    """Gives unused memory back, and starts counting anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def conditions(device: torch.device) -> dict[str, Any]:
    """What the figures depend on: card, driver, versions, date."""
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": str(device),
    }
    if device.type == "cuda":
        pynvml.nvmlInit()
        found |= {
            "card": torch.cuda.get_device_name(device),
            "memory_gib": torch.cuda.get_device_properties(device).total_memory / GIB,
            "driver": pynvml.nvmlSystemGetDriverVersion(),
            "cuda": torch.version.cuda,
        }
        pynvml.nvmlShutdown()
    return found
