"""A real HTTP server that speaks the chat-completions protocol and behaves, or misbehaves, as a test asks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from PIL import Image

Answer = Callable[["OpenAIServer", dict[str, Any]], Awaitable[web.StreamResponse]]


class OpenAIServer:
    """Answers with `script` in order, then with its last entry for ever; records what it was sent.

    Use as an async context manager; `url` is its base URL.
    """

    def __init__(
        self,
        *script: Answer,
        port: int = 0,
        routes: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`routes`: further pages to get; `tls`: speak HTTPS."""
        self.script = list(script)
        self.routes = routes or {}
        self.tls = tls
        self.port = port
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.released = asyncio.Event()
        """`held` answers wait for it."""

    async def __aenter__(self) -> OpenAIServer:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/v1/chat/completions", self._answer)
        for path, handler in self.routes.items():
            app.router.add_get(path, handler)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(json.loads(await request.text()))
        self.headers.append(dict(request.headers))
        self.request = request
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            return await answer(self, self.bodies[-1])
        finally:
            self.in_flight -= 1


def completion(text: str | None, finish: str = "stop") -> Answer:
    """A chat completion with this text."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.Response:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response(
            {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice]}
        )

    return answer


def status(code: int, text: str = "", headers: dict[str, str] | None = None) -> Answer:
    """An error of the server."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error": {"message": text, "code": code}}, status=code, headers=headers)

    return answer


def page(text: str, kind: str = "text/html") -> Answer:
    """Something else than a chat completion, with status 200."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.Response:
        return web.Response(text=text, content_type=kind)

    return answer


def held(then: Answer) -> Answer:
    """Waits until the server is released."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        await server.released.wait()
        return await then(server, body)

    return answer


def slowly(then: Answer, seconds: float) -> Answer:
    """Takes its time."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(server, body)

    return answer


def trickle(seconds: float) -> Answer:
    """Sends a byte now and then, and never comes to an end."""

    async def answer(server: OpenAIServer, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        assert server.request is not None
        await response.prepare(server.request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(seconds)

    return answer


def images(body: dict[str, Any]) -> list[Image.Image]:
    """The images of a request, in order."""
    parts = body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))) for url in urls]


def serving(*names: str, root: str | None = None) -> dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
    """The page that lists these models, as vLLM does; `root` is the checkpoint behind them."""

    async def models(request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "x", "root": root} for name in names]
        return web.json_response({"object": "list", "data": data})

    return {"/v1/models": models}


async def until(condition: Callable[[], object]) -> None:
    """Waits until something holds, for 20 s at most."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")
