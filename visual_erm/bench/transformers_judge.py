"""A reward model of the kind Qwen3-VL in this process, through transformers: for a few pairs, without a server.

    two images --as a server is sent them--> processor --generate--> text --parse--> Report

It asks what a judge behind servers is asked: prompt, images and sampling are those of the task. There is no JSON schema, so
a reply may be unreadable. One pair is judged after the other, on the GPU if there is one. For training, serve the model.

    judge = TransformersJudge(load_judge_settings("transformers:/models/Visual-ERM"))
    report = await judge.judge(reference, prediction, load_task("table"))
    await judge.close()
"""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge.chat import SECOND_TEMPERATURE
from visual_erm.judge.encode import data_url
from visual_erm.judge.remote import request_for
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report, parse_report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.servers import Sampling
from visual_erm.spec.task import Task

log = logging.getLogger(__name__)


class TransformersJudge:
    """Judges with a model of this process. The first judgement loads it.

    Args:
        settings: Settings of the kind `transformers`; `model` is the folder of the model.

    Raises:
        ConfigError: The folder holds no model.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.model or "").expanduser()
        if not (self._folder / "config.json").is_file():
            raise ConfigError(f"judge transformers: {self._folder} is no folder of a model: it has no config.json")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge-model")
        self._closed = threading.Event()
        self._loaded: tuple[Any, Any] | None = None

    async def model_root(self) -> None:
        """Returns None: reports are not kept from one run to the next, for other weights may be in the folder then."""

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Asks the model what differs between two images.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            task: The task, which says what the model is asked and how its answer is read.
            usage: Counts what the judgement costs. By default nothing is counted.

        Returns:
            The report; `truncated` is set where the reply reached the limit of tokens.

        Raises:
            JudgeUnavailable: The model failed, for example for want of memory, or the judge is closed.
            JudgeUnreadable: The reply holds no report, nor does a second one.
            ConfigError: The folder's model cannot be loaded.
        """
        usage = JudgeUsage() if usage is None else usage
        sampling = task.judge.sampling
        for again in (False, True):
            text, is_cut = await self._in_thread(reference, prediction, task, sampling, usage)
            try:
                report = parse_report(text, task.report)
                return replace(report, truncated=True) if is_cut else report
            except JudgeUnreadable as error:
                usage.failures["unreadable"] += 1
                if again:
                    raise
                log.warning("asking the judge again: %s", error)
                sampling = sampling.model_copy(update={"temperature": max(sampling.temperature, SECOND_TEMPERATURE)})
        raise AssertionError("the second reply is returned or raised")

    async def close(self) -> None:
        """Ends the judgement under way, which gets JudgeUnavailable, and frees the model. May be called twice."""
        self._closed.set()
        await asyncio.to_thread(self._thread.shutdown)
        self._loaded = None

    async def _in_thread(
        self, reference: Image.Image, prediction: Image.Image, task: Task, sampling: Sampling, usage: JudgeUsage
    ) -> tuple[str, bool]:
        try:
            reply = self._thread.submit(self._reply, reference, prediction, task, sampling, usage)
        except RuntimeError:
            raise JudgeUnavailable("the judge was closed") from None
        return await asyncio.wrap_future(reply)

    def _reply(
        self, reference: Image.Image, prediction: Image.Image, task: Task, sampling: Sampling, usage: JudgeUsage
    ) -> tuple[str, bool]:
        """The text of the reply, and whether it reached the limit of tokens."""
        if self._closed.is_set():
            raise JudgeUnavailable("the judge was closed")
        if self._loaded is None:
            self._loaded = _load(self._folder)
        model, processor = self._loaded
        urls = [data_url(image, task.judge.image) for image in (reference, prediction)]
        messages, images = _for_processor(request_for(urls, task, self._settings)["messages"])
        begun = time.perf_counter()
        usage.calls += 1
        try:
            text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            inputs = processor(text=[text], images=images, return_tensors="pt").to(model.device)
            length = inputs["input_ids"].shape[1]
            penalty = sampling.presence_penalty
            penalties = [PresencePenalty(penalty, length)] if penalty else []
            with torch.inference_mode():
                output = model.generate(
                    **inputs,
                    **generation_options(sampling),
                    logits_processor=LogitsProcessorList(penalties),
                    stopping_criteria=StoppingCriteriaList([_WhenSet(self._closed)]),
                )
        except (RuntimeError, ValueError) as error:
            raise JudgeUnavailable(f"the model in {self._folder} failed: {type(error).__name__}: {error}") from error
        if self._closed.is_set():
            raise JudgeUnavailable("the judge was closed")
        written = output[0, length:]
        usage.call_ms += 1000 * (time.perf_counter() - begun)
        usage.prompt_tokens += length
        usage.reply_tokens += len(written)
        is_cut = len(written) >= sampling.max_tokens and int(written[-1]) not in _ends(model)
        return processor.tokenizer.decode(written, skip_special_tokens=True), is_cut


class PresencePenalty(LogitsProcessor):  # type: ignore[misc]
    """Lowers the logit of each token that the reply has already, as vLLM does under `presence_penalty`.

    Args:
        penalty: What is subtracted.
        prompt: Number of tokens of the prompt, which do not count.
    """

    def __init__(self, penalty: float, prompt: int) -> None:
        self._penalty = penalty
        self._prompt = prompt

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Returns the logits of the next token, float of shape (sequences, vocabulary)."""
        present = torch.zeros_like(scores).scatter_(1, input_ids[:, self._prompt :], 1.0)
        return scores - self._penalty * present


class _WhenSet(StoppingCriteria):  # type: ignore[misc]
    """Ends generation once an event is set."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **_: Any) -> torch.BoolTensor:
        return torch.full((input_ids.shape[0],), self._event.is_set(), device=input_ids.device, dtype=torch.bool)


def generation_options(sampling: Sampling) -> dict[str, Any]:
    """Says how `generate` samples.

    Args:
        sampling: As the task has it. What it leaves out is that of the model's own generation_config.json, as in vLLM.

    Returns:
        Keyword arguments of `generate`, without the presence penalty, which it does not know.
    """
    options: dict[str, Any] = {"max_new_tokens": sampling.max_tokens, "do_sample": sampling.temperature > 0}
    if sampling.repetition_penalty is not None:
        options["repetition_penalty"] = sampling.repetition_penalty
    if options["do_sample"]:
        chosen = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
        options |= {key: value for key, value in chosen.items() if value is not None}
    return options


def _load(folder: Path) -> tuple[Any, Any]:
    """The model and its processor, from the folder alone. Raises ConfigError."""
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype="auto")
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ConfigError(f"judge transformers: the model in {folder} cannot be loaded: {error}") from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), processor


def _for_processor(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """Messages of a chat completion as a processor takes them, and their images."""
    images = []
    shown = []
    for message in messages:
        parts = message["content"]
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        content = []
        for part in parts:
            if part["type"] == "image_url":
                encoded = part["image_url"]["url"].partition("base64,")[2]
                images.append(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
                content.append({"type": "image"})
            else:
                content.append(part)
        shown.append({"role": message["role"], "content": content})
    return shown, images


def _ends(model: Any) -> set[int]:
    """Tokens that end a reply."""
    ends = model.generation_config.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends}
