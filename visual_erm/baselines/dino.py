"""`Dino`: compares images by the features of a vision model. Torch is imported with the first image.

    measure = Dino("/models/dinov2-large", "auto", 32)
    await measure.compare(image, reference)

`reward_func/dino_similarity.py` says which checkpoints it takes, and what is compared.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from visual_erm.errors import ComparisonFailed, ConfigError
from visual_erm.runtime.cache import Cache
from visual_erm.vision.images import digest_of

KEPT = 1024
"""Features kept: those of the references of the groups that one reward worker has in flight, and of common answers."""


class Dino:
    """Compares images by their features. The checkpoint is loaded with the first; use it from one event loop."""

    def __init__(self, model: str, device: str, batch_size: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dino")
        self._embedder = functools.cache(lambda: Embedder(model, device))
        self._batch_size = batch_size
        self._kept: Cache[np.ndarray] = Cache(KEPT)
        self._asked: dict[bytes, asyncio.Future[np.ndarray]] = {}
        self._waiting: deque[tuple[bytes, Image.Image]] = deque()
        self._work: asyncio.Task[None] | None = None

    async def compare(self, prediction: Image.Image, reference: Image.Image) -> float:
        """Returns the cosine of two images' features, 0 to 1. Raises ComparisonFailed for torch's own errors."""
        image, expected = await asyncio.gather(self._features(prediction), self._features(reference))
        return float(np.clip(image @ expected, 0, 1))

    async def close(self) -> None:
        """Ends the thread after the pass under way, and forgets the checkpoint. May be called twice."""
        if self._work:
            self._work.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._waiting.clear()
        waiting, self._asked = self._asked, {}
        for features in waiting.values():
            if not features.done():
                features.set_exception(ComparisonFailed("the reward was closed while an image waited for its features"))
                # Retrieved here too: asyncio reports an exception that nobody waits for.
                features.exception()
        self._embedder.cache_clear()

    async def _features(self, image: Image.Image) -> np.ndarray:
        """Of unit length. Images that are asked for while a pass is under way are in the next one."""
        key = await asyncio.to_thread(digest_of, image)
        known = self._kept.find(key)
        if known is not None:
            return known
        if key not in self._asked:
            self._asked[key] = asyncio.get_running_loop().create_future()
            self._waiting.append((key, image))
            if self._work is None or self._work.done():
                self._work = asyncio.create_task(self._pass())
        return await asyncio.shield(self._asked[key])

    async def _pass(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
            try:
                found = await loop.run_in_executor(self._thread, self._embed, [image for _, image in batch])
            except Exception as error:  # noqa: BLE001  whoever waits for the pass gets it
                # Torch's own are RuntimeErrors, for want of memory too.
                torchs = isinstance(error, RuntimeError)
                fault = ComparisonFailed(f"{type(error).__name__}: {error}") if torchs else error
                for key, _ in batch:
                    self._asked.pop(key).set_exception(fault)
                continue
            for (key, _), features in zip(batch, found, strict=True):
                self._kept.keep(key, features)
                self._asked.pop(key).set_result(features)

    def _embed(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self._embedder()(images)


class Embedder:
    """A checkpoint on a device: images -> features of unit length, (images, width), float32."""

    def __init__(self, model: str, device: str) -> None:
        """Raises ConfigError when there is no such checkpoint, or no such device."""
        import torch
        from transformers import AutoImageProcessor, AutoModel

        name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        try:
            self._prepare = AutoImageProcessor.from_pretrained(model)
            self._model = AutoModel.from_pretrained(model).eval()
        except (OSError, ValueError) as error:
            raise ConfigError(f"reward_kwargs.model: {model} cannot be loaded by transformers: {error}") from error
        try:
            self._model.to(name)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"reward_kwargs.device: {name} cannot be used here: {error}") from error
        self._device = name
        self._side = _side(self._prepare)

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Returns the features of images, (images, width), float32, each of unit length."""
        import torch

        squares = [_square(image, self._side) for image in images]
        pixels = self._prepare(images=squares, do_resize=False, do_center_crop=False, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            said = self._model(pixel_values=pixels.to(self._device))
            whole = said.pooler_output if said.pooler_output is not None else said.last_hidden_state[:, 0]
            features: np.ndarray = torch.nn.functional.normalize(whole.float(), dim=1).cpu().numpy()
        return features


def _side(processor: Any) -> int:
    """Pixels of the side of what the checkpoint was made for."""
    size = dict((processor.crop_size if getattr(processor, "do_center_crop", False) else None) or processor.size)
    return int(size.get("height") or size["shortest_edge"])


def _square(image: Image.Image, side: int) -> Image.Image:
    """The image, scaled to fit, in the middle of a white square."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    square = Image.new("RGB", (side, side), "white")
    square.paste(image.resize(size, Image.Resampling.BICUBIC), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square
