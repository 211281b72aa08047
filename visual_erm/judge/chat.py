"""Chat completions of OpenAI-compatible servers (vLLM in practice), asked through a pool of endpoints.

    messages --a place in the pool--> reply --parse--> what the caller reads from it

A failure that another try may heal (a lost connection, a time-out, a full or restarting server) is tried again at another
endpoint, and the endpoint that failed cools down (endpoint_pool.py). Any other failure (a wrong key, a wrong model name) is
raised in the server's own words, unless another endpoint works. A reply that cannot be read is asked for once more.

    chat = Chat(load_judge_settings("http://10.0.0.1:8000/v1"))
    report = await chat.ask({"messages": messages}, read_report)
    await chat.close()
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import openai

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge.endpoint import Endpoint, connect, hide_login, is_url, proxy_fix
from visual_erm.judge.endpoint_pool import EndpointPool
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.servers import VLLM_FIELDS, Sampling, ServerSettings, api_key

log = logging.getLogger(__name__)
T = TypeVar("T")
Parse = Callable[[str, bool], T]
"""Reads a reply. The flag says that the server cut it off. Raises JudgeUnreadable where the reply cannot be read."""

RETRYABLE = frozenset({408, 409, 425, 429})
"""Client errors that another try may heal. Every status from 500 may heal too."""
ENDPOINT_SPECIFIC = frozenset({401, 403, 404})
"""Client errors that speak of the endpoint, not of the request: another endpoint may answer."""
PROXY_ERRORS = frozenset({403, 407, 502, 503, 504})
"""Statuses that a proxy answers for a server that it cannot reach, or may not."""
MAX_RETRY_AFTER_S = 60.0
"""Longest pause, in seconds, that a server may ask for."""
SECOND_TEMPERATURE = 0.3
"""Least temperature at which an unreadable reply is asked for again: at 0 the server would only repeat itself."""
MAX_QUOTED = 400
"""Characters of a server's message that an error repeats."""

FIXES = {
    400: "if it is the JSON schema that the server cannot use, set `structured: false`; if it is a field of vLLM's own, "
    "set `vllm_fields: false`",
    401: "set the environment variable {api_key_env} to the server's key",
    403: "the key in the environment variable {api_key_env} may not use this server",
    404: "check that the endpoint ends in /v1 and that `model: {model}` is among the names at {url}/models",
}


class RetryableError(JudgeUnavailable):
    """A failure that another try may heal.

    Args:
        message: What happened at which endpoint.
        counts: Whether it counts against the sample's retries. It does not where the endpoint was known to be in trouble.
    """

    def __init__(self, message: str, counts: bool) -> None:
        super().__init__(message)
        self.counts = counts


class _Stalled(asyncio.TimeoutError):
    """The endpoint has stalled: its requests go elsewhere."""


class Chat:
    """Asks the least busy endpoint, with at most `settings.max_in_flight` requests at each.

    Bound to the event loop of its first request. The key is read when the object is made and appears in no message.

    Args:
        settings: The servers.

    Raises:
        ConfigError: An endpoint is no URL, or the key cannot be read or sent.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._key = api_key(settings)
        for url in settings.endpoints:
            if not is_url(url):
                raise ConfigError(
                    f"{settings.role} endpoint `{hide_login(url)}` is no URL; it looks like http://10.0.0.1:8000/v1"
                )
        self._pool = EndpointPool(
            settings.endpoints,
            Path(settings.endpoints_file) if settings.endpoints_file else None,
            lambda url: Endpoint(url, connect(url, settings.timeout_s, self._key), self._key),
            limit=settings.max_in_flight,
            unavailable_timeout_s=settings.unavailable_timeout_s,
            timeout_s=settings.timeout_s,
            role=settings.role,
        )
        self._opening: asyncio.Task[str] | None = None
        self._abandoned: set[asyncio.Task[Any]] = set()
        """Requests whose reply nobody waits for."""
        self._closed = False

    async def open(self) -> str:
        """Finds the endpoints; the first request does it by itself.

        Returns:
            The name of the model that they serve.

        Raises:
            ConfigError: An endpoint serves other models.
            JudgeUnavailable: The name is not known and no endpoint says it, or the judge is closed. The next call looks
                again.
        """
        if self._closed:
            raise JudgeUnavailable(f"the {self._settings.role} was closed")
        if self._opening is None or _found_nothing(self._opening):
            self._opening = asyncio.create_task(self._pool.open(self._settings.model))
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if self._closed and opening.cancelled():
                raise JudgeUnavailable(f"the {self._settings.role} was closed") from None
            raise

    async def model_root(self) -> str | None:
        """Returns what tells the checkpoint behind the endpoints from others, see `EndpointPool.root`; None if unknown.

        Raises:
            ConfigError: An endpoint serves other models.
        """
        try:
            await self.open()
        except JudgeUnavailable:
            return None
        return self._pool.root()

    async def ask(self, body: dict[str, Any], parse: Parse[T], usage: JudgeUsage | None = None) -> T:
        """Asks for one chat completion.

        Args:
            body: The request without the model's name, plain JSON.
            parse: Reads the reply.
            usage: Counts what the request costs. By default nothing is counted.

        Returns:
            What `parse` returns.

        Raises:
            JudgeUnavailable: No endpoint answered within the retries and the time allowed, or this object is closed.
            JudgeUnreadable: The reply cannot be read, nor can a second one.
            ConfigError: An endpoint serves other models.
        """
        usage = JudgeUsage() if usage is None else usage
        request = {"model": await self.open(), **body}
        failures, avoid, again = 0, None, False
        since = time.monotonic()
        while True:
            begun = time.perf_counter()
            endpoint = await self._pool.acquire(since, avoid)
            usage.queue_ms += 1000 * (time.perf_counter() - begun)
            usage.retries += bool(avoid)
            try:
                return await self._answer(endpoint, request, parse, usage)
            except RetryableError as error:
                failures += error.counts
                if failures > self._settings.retries:
                    raise JudgeUnavailable(
                        f"no {self._settings.role} answered in {failures} tries; the last: {error}"
                    ) from None
                log.info("%s: %s; trying again", self._settings.role, error)
            except JudgeUnreadable as error:
                if again:
                    raise
                log.warning("asking the %s again: %s", self._settings.role, error)
                again = True
                request = {**request, "temperature": max(request.get("temperature", 0), SECOND_TEMPERATURE)}
            avoid = endpoint

    async def close(self) -> None:
        """Ends every connection. Requests under way get JudgeUnavailable. May be called twice."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for one in self._abandoned:
            one.cancel()
        await asyncio.gather(*self._abandoned, return_exceptions=True)
        await self._pool.close()

    async def _answer(self, endpoint: Endpoint, request: dict[str, Any], parse: Parse[T], usage: JudgeUsage) -> T:
        """The reply of `endpoint`, or of a second endpoint that is asked too.

        The second is asked at once where the first is half open. Otherwise it is asked where the settings say so and the
        first takes long.
        """
        first = asyncio.create_task(self._send(endpoint, request, parse, usage))
        places = {first: endpoint}
        try:
            late_s = self._pool.late_s() if self._settings.hedge else 0.0
            is_late = endpoint.failures or (late_s and not (await asyncio.wait({first}, timeout=late_s))[0])
            if is_late and (other := self._pool.acquire_other(endpoint)):
                usage.hedges += 1
                places[asyncio.create_task(self._send(other, request, parse, usage))] = other
            done, under_way = await asyncio.wait(places, return_when=asyncio.FIRST_COMPLETED)
            if under_way and all(one.exception() for one in done):
                done, _ = await asyncio.wait(under_way)
            return min(done, key=lambda one: one.exception() is not None).result()
        finally:
            for one, place in places.items():
                one.add_done_callback(functools.partial(self._finished, place))
                # A half-open request shows whether its endpoint works again: it is not cancelled, whoever has the reply.
                if not place.half_open:
                    one.cancel()
                self._abandoned.add(one)

    def _finished(self, place: Endpoint, request: asyncio.Task[Any]) -> None:
        self._abandoned.discard(request)
        if not request.cancelled():
            request.exception()
        self._pool.release(place)

    async def _send(self, endpoint: Endpoint, request: dict[str, Any], parse: Parse[T], usage: JudgeUsage) -> T:
        """What is read from one answer of one endpoint."""
        usage.calls += 1
        begun = time.perf_counter()
        # The pool gives nobody else a place there until it hears what became of this request.
        half_open = endpoint.half_open
        try:
            completion = await self._completion(endpoint, request)
            seconds = time.perf_counter() - begun
            usage.call_ms += 1000 * seconds
            try:
                read = self._read(completion, endpoint, parse)
            except JudgeUnreadable:
                self._pool.answered(endpoint, seconds, readable=False)
                usage.failures["unreadable"] += 1
                raise
            self._pool.answered(endpoint, seconds, readable=True)
        except (openai.APIError, asyncio.TimeoutError, ValueError) as error:
            raise self._explained(error, endpoint, usage) from None
        finally:
            if half_open and endpoint.half_open:
                self._pool.failed(endpoint, f"{endpoint.url} gave no answer that shows whether it works again")
        usage.endpoint = endpoint.url
        with contextlib.suppress(LookupError, TypeError):
            usage.prompt_tokens += completion["usage"]["prompt_tokens"]
            usage.reply_tokens += completion["usage"]["completion_tokens"]
        return read

    async def _completion(self, endpoint: Endpoint, request: dict[str, Any]) -> Any:
        """The body of an endpoint's answer. Raises asyncio.TimeoutError when it is late, _Stalled when it has stalled."""
        # Not chat.completions.create: that validates the request, which costs as much as sending it, and the answer would
        # have to be checked all the same.
        headers = {} if self._key else {"Authorization": openai.Omit()}
        answer = asyncio.ensure_future(
            endpoint.client.post("/chat/completions", body=request, cast_to=object, options={"headers": headers})
        )
        stall = asyncio.ensure_future(endpoint.stalled.wait())
        try:
            limit_s = self._pool.limit_s(endpoint)
            await asyncio.wait({answer, stall}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            raise _Stalled if stall.done() else asyncio.TimeoutError
        finally:
            answer.cancel()
            stall.cancel()
            await asyncio.gather(answer, stall, return_exceptions=True)

    def _read(self, completion: Any, endpoint: Endpoint, parse: Parse[T]) -> T:
        """Raises JudgeUnreadable for a text that cannot be read, ValueError for something else than a completion."""
        try:
            choice = completion["choices"][0]
            text, ending = choice["message"]["content"], choice["finish_reason"]
        except (LookupError, TypeError):
            raise ValueError("not a chat completion") from None
        if not isinstance(text, str):
            raise JudgeUnreadable(f"{endpoint.url} answered without text (finish_reason {ending!r})")
        return parse(endpoint.redact(text), ending == "length")

    def _explained(self, error: Exception, endpoint: Endpoint, usage: JudgeUsage) -> JudgeUnavailable:
        """What an exception of the client means here. An endpoint whose failure may heal cools down."""
        kind, status, asked_s = "malformed", 0, 0.0
        if isinstance(error, openai.APIStatusError):
            kind, status = "status", error.status_code
            body = endpoint.redact(" ".join(error.response.text.split()))
            message = f"{endpoint.url} answered {status}" + (f": {body[:MAX_QUOTED]}" if body else "")
            if status not in RETRYABLE and status < 500:
                fix = FIXES.get(status, "").format(**self._settings.model_dump(), url=endpoint.url)
                fix = (proxy_fix(endpoint.url) if status in PROXY_ERRORS else "") or fix
                message = f"{message}; {fix}" if fix else message
                if status not in ENDPOINT_SPECIFIC or not self._pool.others_work(endpoint):
                    usage.failures[kind] += 1
                    return JudgeUnavailable(message)
            asked_s = _retry_after(error)
        elif isinstance(error, _Stalled):
            kind, message = "stalled", f"{endpoint.url} has stalled: it answers nothing while others do"
        elif isinstance(error, asyncio.TimeoutError | openai.APITimeoutError) and not _refused(error):
            kind, message = "timeout", f"{endpoint.url} did not answer within {self._pool.limit_s(endpoint):g} s"
        elif isinstance(error, openai.APIConnectionError):
            cause = endpoint.redact(repr(error.__cause__ or error))[:MAX_QUOTED]
            kind, message = "connection", f"{endpoint.url} cannot be reached: {cause}"
        else:
            message = f"{endpoint.url} answered with something else than a chat completion"
        usage.failures[kind] += 1
        if (kind in ("timeout", "connection") or status in PROXY_ERRORS) and (fix := proxy_fix(endpoint.url)):
            message = f"{message}; {fix}"
        return RetryableError(message, counts=self._pool.failed(endpoint, message, asked_s) or kind == "stalled")


def held_to(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Makes the field of a request that holds the reply to a JSON schema.

    Args:
        name: Name of what the schema describes.
        schema: The schema.

    Returns:
        The field, to be added to a request.
    """
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}}


def sampling_fields(sampling: Sampling, settings: ServerSettings) -> dict[str, Any]:
    """Makes the fields of a request that say how the model samples.

    Args:
        sampling: How the model samples.
        settings: Whether the servers take vLLM's own fields.

    Returns:
        The fields, to be added to a request.
    """
    return sampling.model_dump(exclude_none=True, exclude=set() if settings.vllm_fields else set(VLLM_FIELDS))


def _refused(error: Exception) -> bool:
    """Whether no connection was made: aiohttp's error about that reaches openai as a time-out."""
    return type(error.__cause__).__name__ == "ConnectTimeout"


def _found_nothing(opening: asyncio.Task[str]) -> bool:
    return opening.done() and not opening.cancelled() and isinstance(opening.exception(), JudgeUnavailable)


def _retry_after(error: openai.APIStatusError) -> float:
    try:
        seconds = float(error.response.headers.get("retry-after", 0))
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
