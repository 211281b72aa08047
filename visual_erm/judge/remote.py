"""The judge behind OpenAI-compatible servers (vLLM in practice): two pictures go out, a report comes back.

    pictures --encode--> request --least busy endpoint--> reply --parse--> Report

What may heal (a lost connection, a time-out, a full or restarting server) is tried again after a growing pause, at an
endpoint that did not just fail; what cannot (a wrong key, a wrong model name) is raised at once in the server's own
words. A reply that holds no report is asked for once more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from dataclasses import dataclass, replace
from typing import Any

import openai
from PIL import Image
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge import JudgeSettings
from visual_erm.judge.encode import Encoder
from visual_erm.report import Report, parse_report, report_schema
from visual_erm.task import Task

log = logging.getLogger(__name__)

HEALS = frozenset({408, 409, 425, 429})
"""Client errors that another try may heal; so may every 5xx."""
BACKOFF = wait_exponential_jitter(initial=0.5, exp_base=3, max=30, jitter=0.5)
MAX_RETRY_AFTER_S = 60.0
"""Longest pause that a server may ask for."""
CONNECT_S = 10.0
REST_S = 10.0
"""For so long after a failure an endpoint is asked only when no other has room."""
SECOND_TEMPERATURE = 0.3
"""Least temperature at which an unreadable reply is asked for again: at 0 the server would only repeat itself."""
SHOWN = 400
"""Characters of a server's message that an error repeats."""

FIXES = {
    400: "if it is the JSON schema that the server cannot use, set `structured: false`",
    401: "set the environment variable {api_key_env} to the server's key",
    403: "the key in the environment variable {api_key_env} may not use this server",
    404: "check that the endpoint ends in /v1 and that `model: {model}` is among the names at {url}/models",
}


@dataclass(eq=False)
class Endpoint:
    """One server, and how it is doing."""

    url: str
    client: openai.AsyncOpenAI
    in_flight: int = 0
    rests_until: float = 0.0


class _TryAgain(JudgeUnavailable):
    """A failure that another try may heal."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RemoteJudge:
    """Asks the least busy of `settings.endpoints`, at most `settings.max_in_flight` at once each.

    Bound to the event loop of its first judgement. The key is read from the environment when the judge is made and appears
    in no message. Raises ConfigError for an endpoint that is no URL.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._key = os.environ.get(settings.api_key_env, "")
        self._endpoints = [Endpoint(url, self._client(url)) for url in settings.endpoints]
        self._slots = asyncio.Semaphore(settings.max_in_flight * len(self._endpoints))
        self._encoder = Encoder()

    async def judge(self, reference: Image.Image, prediction: Image.Image, task: Task) -> Report:
        """What differs, reference first; `truncated` where the server cut the reply off.

        Raises JudgeUnavailable or JudgeUnreadable.
        """
        request = await self._request(reference, prediction, task)
        try:
            return await self._ask(request, task)
        except JudgeUnreadable as error:
            log.warning("asking the judge again: %s", error)
        temperature = max(task.judge.sampling.temperature, SECOND_TEMPERATURE)
        return await self._ask({**request, "temperature": temperature}, task)

    async def close(self) -> None:
        """Ends every connection and thread. May be called twice."""
        self._encoder.close()
        await asyncio.gather(*(endpoint.client.close() for endpoint in self._endpoints))

    def _client(self, url: str) -> openai.AsyncOpenAI:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"judge endpoint `{url}` is no URL; it looks like http://10.0.0.1:8000/v1")
        timeout = openai.Timeout(self._settings.timeout_s, connect=min(CONNECT_S, self._settings.timeout_s))
        return openai.AsyncOpenAI(base_url=url, api_key=self._key or "none", timeout=timeout, max_retries=0)

    async def _request(self, reference: Image.Image, prediction: Image.Image, task: Task) -> dict[str, Any]:
        form = task.judge.image
        pictures = await asyncio.gather(
            self._encoder.reference(reference, form), self._encoder.prediction(prediction, form)
        )
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
        content.append({"type": "text", "text": task.judge.prompt})
        messages = [{"role": "user", "content": content}]
        if task.judge.system:
            messages.insert(0, {"role": "system", "content": task.judge.system})  # type: ignore[dict-item]
        sampling = task.judge.sampling.model_dump(exclude_none=True)
        beyond_openai = {key: sampling.pop(key) for key in ("top_k", "repetition_penalty") if key in sampling}
        request = {"model": self._settings.model, "messages": messages, **sampling, "extra_body": beyond_openai}
        if self._settings.structured:
            schema = {"name": "report", "schema": report_schema(task.report), "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        if not self._key:
            request["extra_headers"] = {"Authorization": openai.Omit()}
        return request

    async def _ask(self, request: dict[str, Any], task: Task) -> Report:
        tries = self._settings.retries + 1
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(tries),
            wait=_pause,
            before_sleep=lambda state: log.warning("judge: %s; trying again", _failure(state)),
            reraise=True,
        )
        reply: str
        cut_off: bool
        try:
            reply, cut_off = await attempts(self._reply, request)
        except _TryAgain as error:
            raise JudgeUnavailable(f"no judge answered in {tries} tries; the last: {error}") from None
        report = parse_report(reply, task.report)
        return replace(report, truncated=True) if cut_off else report

    async def _reply(self, request: dict[str, Any]) -> tuple[str, bool]:
        """The text of one answer, and whether it ran into `max_tokens`."""
        async with self._slots:
            endpoint = self._least_busy()
            endpoint.in_flight += 1
            try:
                create = endpoint.client.chat.completions.create(**request)
                completion = await asyncio.wait_for(create, self._settings.timeout_s)
            except (openai.APIError, asyncio.TimeoutError, ValueError) as error:
                raise self._explained(error, endpoint) from None
            finally:
                endpoint.in_flight -= 1
        try:
            choice = completion.choices[0]
            text = choice.message.content
        except (AttributeError, IndexError, TypeError):
            raise JudgeUnreadable(f"{endpoint.url} answered with something else than a chat completion") from None
        if not isinstance(text, str):
            raise JudgeUnreadable(f"{endpoint.url} answered without text (finish_reason {choice.finish_reason!r})")
        return self._hidden(text), choice.finish_reason == "length"

    def _least_busy(self) -> Endpoint:
        """Of the endpoints with room (the semaphore leaves at least one), the one with the fewest requests under way."""
        now = time.monotonic()
        free = [endpoint for endpoint in self._endpoints if endpoint.in_flight < self._settings.max_in_flight]
        return min(free, key=lambda endpoint: (endpoint.rests_until > now, endpoint.in_flight, random.random()))

    def _explained(self, error: Exception, endpoint: Endpoint) -> JudgeUnavailable | JudgeUnreadable:
        """What an exception of the client means here. An endpoint that may heal is left to rest."""
        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            said = f"{endpoint.url} answered {status}: {self._hidden(' '.join(error.response.text.split()))[:SHOWN]}"
            if status not in HEALS and status < 500:
                fix = FIXES.get(status, "").format(**self._settings.model_dump(), url=endpoint.url)
                return JudgeUnavailable(f"{said}; {fix}" if fix else said)
            return self._rest(endpoint, said, _retry_after(error))
        if isinstance(error, asyncio.TimeoutError | openai.APITimeoutError):
            return self._rest(endpoint, f"{endpoint.url} did not answer within {self._settings.timeout_s:g} s")
        if isinstance(error, openai.APIConnectionError):
            return self._rest(
                endpoint, f"{endpoint.url} cannot be reached: {self._hidden(repr(error.__cause__ or error))[:SHOWN]}"
            )
        return JudgeUnreadable(f"{endpoint.url} answered with something else than a chat completion")

    def _rest(self, endpoint: Endpoint, why: str, asked: float = 0.0) -> _TryAgain:
        """Leaves an endpoint to rest; the pause it asked for is waited out only where no other could be asked instead."""
        now = time.monotonic()
        endpoint.rests_until = now + max(REST_S, asked)
        return _TryAgain(why, asked if all(other.rests_until > now for other in self._endpoints) else 0.0)

    def _hidden(self, text: str) -> str:
        """`text` without the key: a server may repeat what it was sent."""
        return text.replace(self._key, "***") if self._key else text


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _pause(state: RetryCallState) -> float:
    """Seconds until the next try: growing, with jitter, and no less than the server asked for."""
    failure = _failure(state)
    asked = failure.retry_after if isinstance(failure, _TryAgain) else 0.0
    return max(BACKOFF(state), asked)


def _retry_after(error: openai.APIStatusError) -> float:
    try:
        seconds = float(error.response.headers.get("retry-after", 0))
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
