"""A tiny policy in memory: the model, its prompts, its images as tensors, and its replies.

The warm start trains it and the evaluation uses it. veRL loads the same folder by itself.

    policy = TinyPolicy.load(Path("outputs/tiny/policy"))
    replies = policy.reply("html", images, temperature=0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, Qwen3VLForConditionalGeneration

from visual_erm.demo.tiny_problem import CANVAS

MAX_REPLY = 64
"""Largest number of tokens of a reply; the largest table takes about 60."""


@dataclass
class TinyPolicy:
    """Model and processor of one folder. Every image must have the CANVAS size.

    Args:
        model: A Qwen3-VL.
        processor: Its processor.
        prompts: Prompts by their word, filled as they are used.
    """

    model: Any
    processor: Any
    prompts: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> TinyPolicy:
        """Loads a policy.

        Args:
            folder: A folder that `build_tiny_qwen3vl` or veRL's checkpoint wrote.

        Returns:
            The policy in float32.
        """
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        return cls(model, AutoProcessor.from_pretrained(folder))

    def prompt(self, word: str) -> list[int]:
        """Tokenizes a prompt that shows an image and says one word.

        Args:
            word: The word.

        Returns:
            Token ids up to where the reply begins.
        """
        if word not in self.prompts:
            message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": word}]}
            text = self.processor.apply_chat_template([message], add_generation_prompt=True, tokenize=False)
            blank = Image.new("RGB", CANVAS, "white")
            self.prompts[word] = self.processor(text=[text], images=[blank], return_tensors="pt")["input_ids"][0].tolist()
        return self.prompts[word]

    def inputs(
        self, words: Sequence[str], images: Sequence[Image.Image], replies: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Makes model inputs, with one sequence for each image.

        Args:
            words: The word of each prompt; all words have the same number of tokens.
            images: The images.
            replies: Token ids [images, tokens] to append to the prompts. None: prompts alone.

        Returns:
            Keyword arguments of the model.
        """
        ids = torch.tensor([self.prompt(word) for word in words])
        if replies is not None:
            ids = torch.cat([ids, replies], dim=1)
        pixels = self.processor.image_processor(images=list(images), return_tensors="pt")
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self.model.config.image_token_id).long(),
            "pixel_values": pixels["pixel_values"],
            "image_grid_thw": pixels["image_grid_thw"],
        }

    @torch.no_grad()
    def reply(self, word: str, images: Sequence[Image.Image], temperature: float, seed: int = 0) -> list[str]:
        """Generates one reply for each image. The global random state does not change.

        Args:
            word: The word of the prompt.
            images: The images.
            temperature: Temperature of the sampling; 0 is greedy.
            seed: Seed of the sampling.

        Returns:
            The replies as texts.
        """
        config = self.model.config
        pads = [config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id]
        how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature > 0 else {"do_sample": False}
        self.model.eval()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inputs = self.inputs([word] * len(images), images)
            ids = self.model.generate(**inputs, max_new_tokens=MAX_REPLY, suppress_tokens=pads, **how)
        written = ids[:, inputs["input_ids"].shape[1] :]
        replies: list[str] = self.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
        return replies
