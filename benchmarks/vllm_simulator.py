"""An endpoint that behaves as a vLLM server does under load, without a model: what a step of training is timed against.

    python benchmarks/vllm_simulator.py --port 8000 --slots 32 --median 2 --seed 0

A process of its own, so that it can die. Its first line of output is its base URL. It answers `/health`, `/v1/models`
and `/v1/chat/completions`; `/stats` tells what it did, `/reset` forgets that, and `/fault` makes it misbehave:

    curl -d '{"kind": "errors", "seconds": 60}' http://127.0.0.1:8000/fault

Faithful: at most `slots` requests are worked on at a time and the others wait in order of arrival, none is refused; a
slot is free for the next request the moment one is done or its client is gone; latencies are lognormal; the reply
keeps to the JSON schema of the request; a stalled engine keeps its connections open. Not faithful: the time of a
request depends neither on how many others run beside it nor on the length of its reply, there is no prefill and no
cache of prefixes, and images are not looked at.

Report and latency are drawn from the two images and the seed alone: the same pair gets the same report after the
same time, whichever endpoint it is sent to and however often. So two steps over the same samples earn the same rewards
and cost the endpoints the same, and what one takes longer than the other is nobody's luck.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web

IMAGE = b";base64,"
"""What stands before a image in a request, which ends at the next quotation mark."""
MEDIAN_S, SIGMA, SLOTS = 2.0, 0.5, 32
"""Of the latency: its mean is MEDIAN_S * exp(SIGMA ** 2 / 2) = 2.27 s, one in forty takes over 5.3 s."""
MOST_ERRORS = 6
PROMPT_TOKENS = 1400
"""Two images and the question, about."""
LARGEST_REQUEST = 64 * 1024**2


class Fault(str, Enum):
    none = "none"
    dead = "dead"
    """The process ends at once, without an answer to anyone."""
    stalled = "stalled"
    """Accepts and answers nothing, nor what is asked of its health."""
    wedged = "wedged"
    """The same, but says that it is well: the engine hangs behind a server that does not know."""
    errors = "errors"
    """Answers 500, to what it was working on as well."""
    rubbish = "malformed"
    """Answers 200 without a completion, with something that is no JSON, or with a text that is no report."""


@dataclass(frozen=True)
class Served:
    """One request that got a report. Times of `time.monotonic`, which all processes of a machine share."""

    pair: str
    """What tells the two images from others."""
    arrived: float
    started: float
    ended: float


@dataclass
class Stats:
    """Since the start or the last `/reset`."""

    since: float = field(default_factory=time.monotonic)
    served: list[Served] = field(default_factory=list)
    failed: int = 0
    """Answered with an error or with rubbish."""
    given_up: int = 0
    """The client went away before the answer."""
    running: int = 0
    """Slots in use."""
    busy_s: float = 0.0
    """Seconds of all slots together, those spent on what then failed included."""


def digest(images: list[bytes]) -> str:
    """What tells a pair of encoded images from others."""
    return blake2b(b"|".join(images), digest_size=12).hexdigest()


def without_images(body: bytes) -> tuple[list[bytes], bytes]:
    """The encoded pictures of a request and the rest of it, which is short: base64 is not worth parsing as JSON.

    >>> without_images(b'{"a": "data:image/png;base64,AAA=", "b": "data:image/png;base64,BB=="}')
    ([b'AAA=', b'BB=='], b'{"a": "data:image/png;base64,", "b": "data:image/png;base64,"}')
    """
    first, *parts = body.split(IMAGE)
    cut = [part.partition(b'"') for part in parts]
    return [image for image, _, _ in cut], IMAGE.join([first, *(b'"' + rest for _, _, rest in cut)])


def latency(pair: str, seed: int, median_s: float, sigma: float) -> float:
    """Seconds that a request for these images takes, once it has a slot."""
    return median_s * random.Random(f"latency {seed} {pair}").lognormvariate(0, sigma)


def report(images: list[bytes], schema: dict[str, Any], seed: int) -> dict[str, Any]:
    """A report on these images that keeps to the schema: nothing on equal ones, one to MOST_ERRORS entries on others."""
    draw = random.Random(f"report {seed} {digest(images)}")
    item = schema["properties"]["errors"]["items"]["properties"]
    count = 0 if len(set(images)) == 1 else draw.randint(1, MOST_ERRORS)
    errors = [{key: _value(key, kind, draw) for key, kind in item.items()} for _ in range(count)]
    category = next(key for key in item if key in ("type", "category"))
    counts = {f"{name}_count": 0 for name in item[category]["enum"]}
    for error in errors:
        counts[f"{error[category]}_count"] += 1
    return {**counts, "errors": errors}


def _value(key: str, kind: dict[str, Any], draw: random.Random) -> Any:
    if "enum" in kind:
        return draw.choice(kind["enum"])
    return f"{key}: {' '.join(draw.choice(('the', 'second', 'value', 'mark', 'row', 'differs')) for _ in range(12))}"


class Simulator:
    """The server. Bound to the event loop that it runs in."""

    def __init__(self, slots: int, median_s: float, sigma: float, seed: int, model: str) -> None:
        self._size, self._median_s, self._sigma, self._seed, self._model = slots, median_s, sigma, seed, model
        self._slots = asyncio.Semaphore(slots)
        self._stats = Stats()
        self._fault = Fault.none
        self._faults = 0
        self._well = asyncio.Event()
        self._well.set()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LARGEST_REQUEST)
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_get("/stats", self._tell)
        app.router.add_post("/reset", self._reset)
        app.router.add_post("/fault", self._misbehave)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        if self._fault is Fault.stalled:
            await self._well.wait()
        return web.Response()

    async def _models(self, request: web.Request) -> web.Response:
        if self._fault is Fault.stalled:
            await self._well.wait()
        return web.json_response({"object": "list", "data": [{"id": self._model, "object": "model"}]})

    async def _completions(self, request: web.Request) -> web.Response:
        arrived = time.monotonic()
        images, rest = without_images(await request.read())
        pair = digest(images)
        if self._fault in (Fault.errors, Fault.rubbish):
            return self._wrong(pair)
        try:
            async with self._slots:
                started = time.monotonic()
                self._stats.running += 1
                try:
                    await asyncio.sleep(latency(pair, self._seed, self._median_s, self._sigma))
                    await self._well.wait()
                finally:
                    self._stats.running -= 1
                    self._stats.busy_s += time.monotonic() - max(started, self._stats.since)
        except asyncio.CancelledError:
            self._stats.given_up += 1
            raise
        if self._fault is not Fault.none:
            return self._wrong(pair)
        asked = json.loads(rest)
        if asked.get("model") != self._model:
            return web.json_response({"error": {"message": f"The model {asked.get('model')} does not exist."}}, status=404)
        try:
            schema = asked["response_format"]["json_schema"]["schema"]
        except (KeyError, TypeError):
            return web.json_response({"error": {"message": "this simulator needs the schema of a report"}}, status=400)
        text = json.dumps(report(images, schema, self._seed))
        self._stats.served.append(Served(pair, arrived, started, time.monotonic()))
        return web.json_response(self._completion(pair, text))

    def _completion(self, pair: str, text: str) -> dict[str, Any]:
        tokens = len(text) // 4
        usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer = {"id": f"chatcmpl-{pair}", "object": "chat.completion", "created": int(time.time()), "model": self._model}
        return {**answer, "choices": [choice], "usage": usage}

    def _wrong(self, pair: str) -> web.Response:
        self._stats.failed += 1
        if self._fault is Fault.errors:
            return web.json_response({"error": {"message": "EngineCore encountered an issue."}}, status=500)
        kinds: list[Callable[[], web.Response]] = [
            lambda: web.json_response({"object": "list", "data": []}),
            lambda: web.Response(text="<html>It works!</html>", content_type="text/html"),
            lambda: web.json_response(self._completion(pair, "!" * 400)),
        ]
        return kinds[int(pair, 16) % len(kinds)]()

    async def _tell(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        told = {**asdict(self._stats), "now": now, "slots": self._size, "fault": self._fault.value}
        return web.json_response({**told, "utilisation": self._stats.busy_s / self._size / (now - self._stats.since)})

    async def _reset(self, request: web.Request) -> web.Response:
        self._stats = Stats(running=self._stats.running)
        return web.Response()

    async def _misbehave(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self._begin(Fault(asked["kind"]))
        if seconds := asked.get("seconds"):
            asyncio.get_running_loop().call_later(seconds, self._end, self._faults)
        return web.Response()

    def _begin(self, fault: Fault) -> None:
        if fault is Fault.dead:
            os._exit(1)
        self._fault = fault
        self._faults += 1
        if fault in (Fault.stalled, Fault.wedged):
            self._well.clear()
        else:
            self._well.set()

    def _end(self, number: int) -> None:
        """Ends a fault, unless another one has begun since."""
        if number == self._faults:
            self._begin(Fault.none)


class Endpoint:
    """A simulator as seen by a benchmark that has started it. Use as an async context manager."""

    def __init__(self, median_s: float = MEDIAN_S, sigma: float = SIGMA, slots: int = SLOTS, seed: int = 0) -> None:
        self._options = ["--median", str(median_s), "--sigma", str(sigma), "--slots", str(slots), "--seed", str(seed)]
        self.slots = slots
        self.url = ""
        """Base URL, which ends in /v1."""

    async def __aenter__(self) -> Endpoint:
        command = [sys.executable, __file__, *self._options]
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = (await self._process.stdout.readline()).decode().strip()
        self._session = aiohttp.ClientSession(self.url.removesuffix("v1"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def stats(self) -> dict[str, Any]:
        async with self._session.get("stats") as answer:
            return dict(await answer.json())

    async def reset(self) -> None:
        async with self._session.post("reset") as answer:
            answer.raise_for_status()

    async def misbehave(self, fault: Fault, seconds: float = 0) -> None:
        """From now on, or for so many seconds."""
        asked = self._session.post("fault", json={"kind": fault.value, "seconds": seconds})
        if fault is Fault.dead:
            with contextlib.suppress(aiohttp.ClientError):
                await asked
            await self._process.wait()
        else:
            async with asked as answer:
                answer.raise_for_status()


@contextlib.asynccontextmanager
async def endpoints(count: int, **options: Any) -> AsyncIterator[list[Endpoint]]:
    """So many endpoints, started at once."""
    async with contextlib.AsyncExitStack() as stack:
        started: list[Awaitable[Endpoint]] = [stack.enter_async_context(Endpoint(**options)) for _ in range(count)]
        yield list(await asyncio.gather(*started))


def served(stats: dict[str, Any]) -> Iterator[Served]:
    """The requests that an endpoint tells of."""
    return (Served(**one) for one in stats["served"])


async def serve(simulator: Simulator, port: int) -> None:
    runner = web.AppRunner(simulator.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - the end of another process sets no event
        await asyncio.sleep(1)


def main(
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
    slots: Annotated[int, typer.Option(help="Requests that are worked on at a time.", min=1)] = SLOTS,
    median: Annotated[float, typer.Option(help="Seconds of a request in a slot, the median.", min=0)] = MEDIAN_S,
    sigma: Annotated[float, typer.Option(help="Of the lognormal distribution.", min=0)] = SIGMA,
    seed: Annotated[int, typer.Option(help="Of reports and latencies.")] = 0,
    model: Annotated[str, typer.Option(help="Name under which it serves.")] = "visual-erm",
) -> None:
    """Serve until killed, or until the process that started this one is gone."""

    async def run() -> None:
        await serve(Simulator(slots, median, sigma, seed, model), port)

    asyncio.run(run())


if __name__ == "__main__":
    typer.run(main)
