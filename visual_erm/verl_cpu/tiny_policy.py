"""A tiny policy in hand: a model folder loaded, its prompt, its pictures as tensors, and its replies.

The warm start trains it and the evaluation questions it; veRL loads the same folder by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

from visual_erm.verl_cpu.tiny_tables import CELL, MAX_COLUMNS, MAX_ROWS, PROMPT

MAX_REPLY = 64
"""Tokens of a reply; the largest table takes about 60."""


@dataclass
class TinyPolicy:
    """Model and processor of one folder. Every picture must be the canvas that `tiny_tables.draw` makes."""

    model: Any
    processor: Any
    prompt: list[int]
    """Token ids of the prompt with its picture, up to where the reply begins."""

    @classmethod
    def load(cls, folder: Path) -> TinyPolicy:
        """The policy in a folder that `build_tiny_qwen3vl` or veRL's checkpoint wrote."""
        processor = AutoProcessor.from_pretrained(folder)
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}
        text = processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
        blank = Image.new("RGB", (MAX_COLUMNS * CELL, MAX_ROWS * CELL), "white")
        prompt = processor(text=[text], images=[blank], return_tensors="pt")["input_ids"][0].tolist()
        return cls(model, processor, prompt)

    def inputs(self, pictures: Sequence[Image.Image], replies: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """Model inputs for one sequence per picture: the prompt, then the row of `replies` [pictures, tokens] if given."""
        ids = torch.tensor([self.prompt] * len(pictures))
        if replies is not None:
            ids = torch.cat([ids, replies], dim=1)
        pixels = self.processor.image_processor(images=list(pictures), return_tensors="pt")
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self.model.config.image_token_id).long(),
            "pixel_values": pixels["pixel_values"],
            "image_grid_thw": pixels["image_grid_thw"],
        }

    @torch.no_grad()
    def reply(self, pictures: Sequence[Image.Image], temperature: float, seed: int = 0) -> list[str]:
        """One reply per picture; greedy at temperature 0. The global random state is left as it was."""
        config = self.model.config
        pads = [config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id]
        how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
        self.model.eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ids = self.model.generate(**self.inputs(pictures), max_new_tokens=MAX_REPLY, suppress_tokens=pads, **how)
        replies: list[str] = self.processor.tokenizer.batch_decode(ids[:, len(self.prompt) :], skip_special_tokens=True)
        return replies
