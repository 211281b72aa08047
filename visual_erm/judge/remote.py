"""The judge behind OpenAI-compatible servers (vLLM in practice): two images go out, a report comes back.

images --encode--> request --chat.py--> reply --parse--> Report

judge = RemoteJudge(JudgeSettings(kind="remote", endpoints=("http://10.0.0.1:8000/v1",)))
report = await judge.judge(reference, prediction, load_task("table"))
await judge.close()
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.judge.chat import Chat, held_to, sampling_fields
from visual_erm.judge.encode import Encoder
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report, parse_report, report_schema
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task

PLACEHOLDER_LINES = "<image>\n<image>\n"
"""What the published reward for tables sends before its prompt."""


class RemoteJudge:
    """Asks the least busy endpoint, with at most `settings.max_in_flight` requests at each.

    Bound to the event loop of its first judgement. The key is read when the judge is made and appears in no message.

    Args:
        settings: Settings of the kind `remote` or `colocated`.

    Raises:
        ConfigError: An endpoint is no URL, or the key cannot be read or sent.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        if settings.kind == "colocated":
            if not settings.endpoints:
                raise ConfigError("judge=colocated is asked by veRL's reward workers alone: veRL tells them its address")
            # The name of veRL's own reward model is not in the settings.
            settings = settings.model_copy(update={"model": None})
        self._settings = settings
        self._chat = Chat(settings)
        self._encoder = Encoder()

    async def open(self) -> str:
        """Finds the endpoints, see `Chat.open`. The first judgement does it by itself.

        Returns:
            The name of the model that they serve.
        """
        return await self._chat.open()

    async def model_root(self) -> str | None:
        """Returns what tells the checkpoint behind the endpoints from others, see `Chat.model_root`; None if unknown."""
        return await self._chat.model_root()

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Asks a server what differs between two images.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            task: The task, which says what the judge is asked and how its answer is read.
            usage: Counts what the judgement costs. By default nothing is counted.

        Returns:
            The report; `truncated` is set where the server cut the reply off.

        Raises:
            JudgeUnavailable: No endpoint answered within the retries and the time allowed, or the judge is closed.
            JudgeUnreadable: The reply holds no report, nor does a second one.
            ConfigError: An endpoint serves other models.
        """
        await self.open()
        request = await self._request(reference, prediction, task)

        def read(text: str, is_cut: bool) -> Report:
            report = parse_report(text, task.report)
            return replace(report, truncated=True) if is_cut else report

        return await self._chat.ask(request, read, usage)

    async def close(self) -> None:
        """Ends every connection and thread. Judgements under way get JudgeUnavailable. May be called twice."""
        self._encoder.close()
        await self._chat.close()

    async def _request(self, reference: Image.Image, prediction: Image.Image, task: Task) -> dict[str, Any]:
        form = task.judge.image
        images = await asyncio.gather(self._encoder.reference(reference, form), self._encoder.prediction(prediction, form))
        return request_for(images, task, self._settings)


def request_for(images: Sequence[str], task: Task, settings: JudgeSettings) -> dict[str, Any]:
    """Makes the body of a request for a chat completion.

    Args:
        images: Data URLs of the two images, the reference first.
        task: The task: prompt, system message, sampling, and the format of the report.
        settings: Whether the reply is held to the report's JSON schema, and whether vLLM's own fields are sent.

    Returns:
        The body without the model's name, plain JSON.
    """
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    lines = PLACEHOLDER_LINES if task.judge.placeholder_lines else ""
    content.append({"type": "text", "text": lines + task.judge.prompt})
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if task.judge.system:
        messages.insert(0, {"role": "system", "content": task.judge.system})
    request = {"messages": messages, **sampling_fields(task.judge.sampling, settings)}
    if settings.structured:
        request |= held_to("report", report_schema(task.report))
    return request
