"""RefineLoop: the policy answers, sees its own render and the report on it, and answers again.

veRL's worker runs one such loop for each rollout, in place of its own loop of a single answer. A rollout is one sequence:

    prompt | answer | report and render | answer | …
    mask     1 1 1 1  0 0 0 0 0 0 0 0 0   1 1 1 1

The update trains on tokens under a 1 alone: on those that the policy wrote. Each answer is scored by one of veRL's own
reward workers, as a rollout of a single answer is: rendering, judging and every failure of theirs stay there. What passes
between this loop and the reward function is in `visual_erm.reward.turns`.

    agent=refine agent.turns=2 agent.reward=best
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
import torch
from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.reward.turns import ASKED, ENDED, Turn, Turns
from visual_erm.spec.agent import load_agent_settings
from visual_erm.spec.base import plain
from visual_erm.training.verl_internals import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, DataProto

REWARD_WORKER = "reward_loop_worker_{}"
"""Name of the Ray actor of one of veRL's reward workers, by its number."""
MAX_ASPECT = 50
"""Longest side of a picture by its shortest. A longer one gets a margin: processors of the Qwen-VL family refuse 200."""
SHRINKS = 4
"""Tries to make a picture so small that it fits. Then it is left out."""

FIX = "take reward=visual_erm, or agent=none"

Message = dict[str, Any]


@dataclass
class _Sequence:
    """A rollout as it grows."""

    messages: list[Message]
    images: list[Image.Image]
    tokens: list[int]
    """All of them, with the prompt's."""
    mask: list[int] = field(default_factory=list)
    """Of the tokens after the prompt: 1 where the policy wrote it."""
    log_probs: list[float] | None = None
    """Of the tokens after the prompt; None where the rollout server gives none."""


class RefineLoop(AgentLoopBase):
    """One rollout of several answers. veRL makes a loop for each; its settings are the configuration's part `agent`."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._settings = load_agent_settings(plain(self.config.agent))
        self._answer_length = self._settings.answer_length(self.rollout_config.response_length)

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **row: Any) -> AgentLoopOutput:
        """Writes one rollout, and has it scored.

        Args:
            sampling_params: veRL's settings of the sampling.
            priority: veRL's number of the rollout.
            row: The fields of the row: `raw_prompt`, `data_source`, `reward_model`, `extra_info`.

        Returns:
            The rollout, with its reward.

        Raises:
            ConfigError: The reward function says nothing to revise by.
            ray.exceptions.RayTaskError: A reward worker stops the run.
        """
        rollout = await self._prompt(list(row["raw_prompt"]))
        prompt = list(rollout.tokens)
        full = bool(getattr(self.rollout_config, "full_determinism", False))
        request = {"request_id": f"det-{priority}" if full else uuid.uuid4().hex, "priority": int(priority)}
        sampling = {**sampling_params, "max_tokens": self._answer_length}
        turns: list[Turn] = []
        seconds = {"generate_sequences": 0.0, "compute_score": 0.0}
        written: dict[str, Any] = {}
        while True:
            began = time.monotonic()
            answer = await self.server_manager.generate(
                prompt_ids=rollout.tokens,
                sampling_params=sampling,
                image_data=rollout.images or None,
                mm_processor_kwargs=self._get_mm_processor_kwargs(),
                **request,
            )
            seconds["generate_sequences"] += time.monotonic() - began
            await self._add_answer(rollout, answer)
            # The first answer's versions of the policy, and the last one's newest.
            written = {**answer.extra_fields, **written, "max_global_steps": answer.extra_fields.get("max_global_steps")}
            began = time.monotonic()
            scored = await self._ask(row, prompt, answer.token_ids, {**written, ASKED: True}, len(turns))
            seconds["compute_score"] += time.monotonic() - began
            turns.append(_turn_of(scored))
            if self._ends(turns, len(rollout.mask)):
                break
            await self._show(rollout, turns[-1])
            turns[-1] = turns[-1].logged(shown=True)
        turns[-1] = turns[-1].logged(shown=False)
        ended = Turns(tuple(turns), self._settings.reward)
        reward = await self._ask(row, prompt, rollout.tokens[len(prompt) :], {**written, ENDED: ended}, len(turns))
        scores = [turn.score for turn in turns]
        return AgentLoopOutput(
            prompt_ids=prompt,
            response_ids=rollout.tokens[len(prompt) :],
            response_mask=rollout.mask,
            response_logprobs=rollout.log_probs,
            routed_experts=answer.routed_experts,
            multi_modal_data={"images": rollout.images} if rollout.images else {},
            mm_processor_kwargs=self._get_mm_processor_kwargs(),
            reward_score=reward["reward_score"],
            num_turns=2 * len(turns),
            metrics=AgentLoopMetrics(**seconds, num_preempted=-1 if answer.num_preempted is None else answer.num_preempted),
            extra_fields={
                **written,
                "turn_scores": scores,
                "tool_rewards": [],
                "reward_extra_info": reward["reward_extra_info"],
            },
        )

    async def _prompt(self, messages: list[Message]) -> _Sequence:
        media = await self.process_multi_modal_info(messages)
        images = list(media.get("images") or [])
        self._assert_mm_supported(bool(media))
        return _Sequence(messages, images, await self.ct_build_initial_tokens(messages, images=images or None))

    async def _add_answer(self, rollout: _Sequence, answer: Any) -> None:
        known = rollout.log_probs if rollout.mask else ([] if answer.log_probs else None)
        merged, rollout.mask, rollout.log_probs = await self.ct_merge_assistant_token(
            rollout.tokens,
            answer.token_ids,
            rollout.mask,
            known,
            assistant_logprobs=answer.log_probs if known is not None else None,
        )
        rollout.tokens = merged.token_ids
        text = await asyncio.to_thread(self.tokenizer.decode, answer.token_ids, skip_special_tokens=True)
        rollout.messages = [*rollout.messages, {"role": "assistant", "content": text}]

    def _ends(self, turns: Sequence[Turn], length: int) -> bool:
        last, settings = turns[-1], self._settings
        if len(turns) == settings.turns or not last.scored:
            return True
        if settings.threshold is not None and last.score >= settings.threshold:
            return True
        if not last.feedback:
            raise ConfigError(f"agent=refine: the reward function says nothing to revise by; {FIX}")
        # An engine may take `max_tokens` for a wish.
        return length + settings.feedback_length + self._answer_length > int(self.rollout_config.response_length)

    async def _show(self, rollout: _Sequence, turn: Turn) -> None:
        """Adds report and render, as a message of the user."""
        message, images = await self._message(rollout, turn)
        if rollout.tokens[-1] != self.tokenizer.eos_token_id:
            # The answer was cut off. The end of its turn is not the policy's word.
            rollout.tokens.append(self.tokenizer.eos_token_id)
            rollout.mask.append(0)
            if rollout.log_probs is not None:
                rollout.log_probs.append(0.0)
        updated = [*rollout.messages, message]
        merged, rollout.mask, rollout.log_probs = await self.ct_merge_context_msg(
            rollout.messages, updated, rollout.tokens, rollout.mask, rollout.log_probs
        )
        rollout.tokens, rollout.messages = merged.token_ids, updated
        rollout.images = [*rollout.images, *images]

    async def _message(self, rollout: _Sequence, turn: Turn) -> tuple[Message, list[Image.Image]]:
        """Makes the message with the report and, where there is one, the render: as large as fits, the report first."""
        # The end of the turn before it, and the line break after that, come on top.
        limit = self._settings.feedback_length - 2
        words = await asyncio.to_thread(self._shortened, rollout, turn.feedback, limit // 2 if turn.image else limit)
        alone = await asyncio.to_thread(self._count, rollout, _message_of(words))
        if turn.image is None:
            return _message_of(words), []
        image = await asyncio.to_thread(like, turn.image, rollout.images[0] if rollout.images else turn.image)
        for _ in range(SHRINKS):
            media = await self.process_multi_modal_info([_message_of(words, image)])
            message = _message_of(words, media["images"][0])
            length = await asyncio.to_thread(self._count, rollout, message)
            if length <= limit:
                return message, media["images"]
            image = await asyncio.to_thread(scaled, image, 0.9 * max(limit - alone, 1) / (length - alone))
        words = await asyncio.to_thread(self._shortened, rollout, turn.feedback, limit)
        return _message_of(words), []

    def _shortened(self, rollout: _Sequence, text: str, limit: int) -> str:
        return shorten(text, lambda part: self._count(rollout, _message_of(part)) <= limit)

    def _count(self, rollout: _Sequence, message: Message) -> int:
        """Counts the tokens that a message adds, with those that begin the next answer."""
        updated = [*rollout.messages, message]
        return len(self.continuous_token_builder.tokenize_context_incremental_messages(rollout.messages, updated))

    async def _ask(
        self, row: Mapping[str, Any], prompt: Sequence[int], tokens: Sequence[int], extra: Mapping[str, Any], turns: int
    ) -> dict[str, Any]:
        """Calls a reward worker as veRL's worker does for a rollout.

        `extra` gets into the reward function's `extra_info`.
        """
        workers = await asyncio.to_thread(_reward_workers, int(self.config.reward.num_workers))
        ids = torch.tensor([[*prompt, *tokens]], dtype=torch.int64)
        data = DataProto.from_dict(
            tensors={
                "prompts": ids[:, : len(prompt)],
                "responses": ids[:, len(prompt) :],
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
            },
            non_tensors={
                "data_source": _one(row["data_source"]),
                "reward_model": _one(row["reward_model"]),
                "extra_info": _one(dict(row.get("extra_info") or {})),
                "tool_extra_fields": _one(dict(extra)),
                "__num_turns__": _one(2 * max(turns, 1)),
            },
        )
        result: dict[str, Any] = await random.choice(workers).compute_score.remote(data)
        return result


def _turn_of(scored: Mapping[str, Any]) -> Turn:
    turn = scored["reward_extra_info"].get(ASKED)
    if not isinstance(turn, Turn):
        raise ConfigError(f"agent=refine: the reward function returns no turn; {FIX}")
    return turn


@functools.cache
def _reward_workers(count: int) -> tuple[Any, ...]:
    """Finds veRL's reward workers."""
    return tuple(ray.get_actor(REWARD_WORKER.format(number)) for number in range(count))


def _one(value: Any) -> np.ndarray:
    """A batch of one; numpy would take a list apart."""
    batch = np.empty(1, dtype=object)
    batch[0] = value
    return batch


def _message_of(text: str, image: Image.Image | None = None) -> Message:
    shown = [] if image is None else [{"type": "image", "image": image}]
    return {"role": "user", "content": [*shown, {"type": "text", "text": text}]}


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    r"""Leaves out the last lines of a text before its last paragraph, which says what to do, until it fits.

    >>> shorten("wrong:\n- worst\n- mild\n\nRevise.", lambda part: len(part) < 26)
    'wrong:\n- worst\n…\n\nRevise.'

    Args:
        text: The text: what is worst comes first.
        fits: Whether a text fits. What holds for a text holds for shorter ones.

    Returns:
        The text. If the last paragraph alone does not fit, the first of its characters that do.
    """
    if fits(text):
        return text
    head, _, tail = text.rpartition("\n\n")
    lines = head.splitlines()
    parts = ["\n".join([*lines[:count], "…", "", tail]) for count in range(len(lines))] + [text]
    most = _largest(len(parts) - 1, lambda count: fits(parts[count]))
    return parts[most] if most >= 0 else text[: max(_largest(len(text), lambda count: fits(text[:count])), 0)]


def _largest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number from 0 to `most` of which something holds that holds of all smaller ones; -1 for none."""
    low, high = -1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def like(image: Image.Image, reference: Image.Image) -> Image.Image:
    """Makes an image as the policy sees a reference: not larger than it, and never a strip.

    Args:
        image: The image, RGB.
        reference: What the policy sees of its reference.

    Returns:
        The image, with a white margin where one side is more than MAX_ASPECT times the other.
    """
    sides = [max(side, -(-max(image.size) // MAX_ASPECT)) for side in image.size]
    if tuple(sides) != image.size:
        padded = Image.new("RGB", (sides[0], sides[1]), "white")
        padded.paste(image, (0, 0))
        image = padded
    return scaled(image, reference.width * reference.height / (image.width * image.height))


def scaled(image: Image.Image, area: float) -> Image.Image:
    """Makes an image smaller.

    Args:
        image: The image.
        area: Share of its area to keep; from 1 on, the image stays as it is.

    Returns:
        The image.
    """
    if area >= 1:
        return image
    width, height = (max(1, round(side * area**0.5)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
