"""One server behind a remote judge: how it is doing, which models it serves, and the connection to it.

    endpoint = Endpoint("http://10.0.0.1:8000/v1", connect("http://10.0.0.1:8000/v1", 300, key), key)
    await endpoint.ask_models()                         # "" and endpoint.roots, or what is wrong

`endpoint_pool` keeps the endpoints and decides which one gets the next request; `remote` sends it. Health and models are
asked with plain HTTP requests, so that neither a hung connection nor a full one stands in their way.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx
import openai

HEALTH_S = 3.0
"""Seconds for an answer to `/health` or `/v1/models`."""
CONNECT_S = 10.0
"""Longest time, in seconds, until a connection for a request is there."""


@dataclass(eq=False)
class Endpoint:
    """One server, with the state that the pool keeps of it.

    Args:
        url: Base URL, for example `http://10.0.0.1:8000/v1`.
        client: The connection for judgements; the pool closes it.
        key: API key, which health probes send too; empty for none.
    """

    url: str
    client: openai.AsyncOpenAI
    key: str = field(default="", repr=False)
    in_flight: int = 0
    """Requests under way."""
    failures: int = 0
    """Failures in a row, each after the cooldown of the one before. 0: the endpoint works and gets its full share."""
    ready: bool = True
    """False during a cooldown, and until the server has said that it is healthy."""
    unreadable: int = 0
    """Answers in a row that held no report."""
    half_open: bool = False
    """True while the one request is under way that shows whether the endpoint works again."""
    leaving: bool = False
    """True once the endpoints file does not name it any more."""
    last_response_at: float = 0.0
    """Monotonic time of its last answer, or of the first request after it had none."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when its requests should go elsewhere; a new event takes its place then."""
    roots: dict[str, str] | None = None
    """The models it serves: name -> checkpoint, see `models_at`. Empty where it lists none; None until it has answered."""

    async def health_problem(self) -> str:
        """Returns why the server is not healthy; empty where it is, or where it has no page `/health`."""
        page = f"{self.url.rstrip('/').removesuffix('/v1')}/health"
        try:
            status = (await _get(page, self.key)).status_code
        except httpx.HTTPError as error:
            return _unreachable(self.url, error)
        return f"{page} answers {status}" if status >= 500 else ""

    async def ask_models(self) -> str:
        """Asks for the models and keeps them in `roots`. Returns why the server cannot be reached; empty where it can."""
        try:
            self.roots = await models_at(self.url, self.key)
        except (httpx.HTTPStatusError, ValueError):
            self.roots = {}
        except httpx.HTTPError as error:
            return _unreachable(self.url, error)
        return ""


async def models_at(url: str, key: str = "") -> dict[str, str]:
    """Asks a server for its models.

    Args:
        url: Base URL of the server.
        key: API key; empty for none.

    Returns:
        Served name -> what vLLM calls its `root`: the folder or the hub's name of the checkpoint. Other servers do not say
        it; the value is empty then.

    Raises:
        httpx.HTTPStatusError: The server answers with an error.
        httpx.HTTPError: The server cannot be reached, or does not answer within HEALTH_S seconds.
        ValueError: The answer is no list of models.
    """
    answer = (await _get(f"{url.rstrip('/')}/models", key)).raise_for_status()
    try:
        return {str(model["id"]): str(model.get("root") or "") for model in answer.json()["data"]}
    except (AttributeError, LookupError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{url}/models holds no list of models") from error


def connect(url: str, timeout_s: float, key: str) -> openai.AsyncOpenAI:
    """Makes the client of one endpoint.

    Args:
        url: Base URL.
        timeout_s: Longest time of a request, in seconds.
        key: API key; where it is empty, a placeholder stands in for it.

    Returns:
        The client, which the caller closes. It opens no connection before the first request, and repeats none.
    """
    timeout = openai.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
    # By default every client reads all certificates of the machine again, and takes twice the time for each request.
    http = openai.DefaultAioHttpClient(timeout=timeout, verify=_trusted())
    return openai.AsyncOpenAI(base_url=url, api_key=key or "none", timeout=timeout, max_retries=0, http_client=http)


def is_url(text: str) -> bool:
    """Tells whether a text can be the base URL of a server.

    Args:
        text: The text.

    Returns:
        Whether it has a scheme of HTTP and a host, and its port, where there is one, is a number over 0.
    """
    try:
        url = urlsplit(text)
        # What the client does not take would end the task that lets a server join.
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and bool(httpx.URL(text).host)
    except (ValueError, httpx.InvalidURL):
        return False


def redact(text: str, key: str) -> str:
    """Removes the key from a text that is shown: a server may repeat what it was sent.

    Args:
        text: The text.
        key: The API key; empty for none.

    Returns:
        The text with `***` in place of the key.
    """
    return text.replace(key, "***") if key else text


def proxy_fix(url: str) -> str:
    """Says through which proxy of the environment a server is asked: a failure may be the proxy's.

    Args:
        url: Base URL of the server.

    Returns:
        The proxy, without a password in its address, its variable and the fix; empty where no proxy stands between.
    """
    address = urlsplit(url)
    if proxy_bypass(address.netloc) or proxy_bypass(str(address.hostname)):
        return ""
    for name in (f"{address.scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if proxy := os.environ.get(variable):
                return (
                    f"it is asked through the proxy {proxy.rpartition('@')[2]} of {variable}: add {address.hostname} to "
                    "NO_PROXY, unless the proxy must stand between"
                )
    return ""


async def _get(url: str, key: str) -> httpx.Response:
    """The answer to one GET request within HEALTH_S. Raises httpx.HTTPError, whatever goes wrong."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(verify=_trusted(), timeout=HEALTH_S, headers=headers, follow_redirects=True) as client:
        try:
            return await asyncio.wait_for(client.get(url), HEALTH_S)
        except asyncio.TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {HEALTH_S:g} s") from None
        except httpx.InvalidURL as error:
            raise httpx.UnsupportedProtocol(str(error)) from error


def _unreachable(url: str, error: Exception) -> str:
    why = type(error).__name__ if not str(error) else f"{type(error).__name__}: {error}"
    fix = proxy_fix(url)
    return f"{url} cannot be reached ({why})" + (f"; {fix}" if fix else "")


@functools.cache
def _trusted() -> ssl.SSLContext:
    """What vouches for a server: the machine's certificates, or those that SSL_CERT_FILE names."""
    return ssl.create_default_context()
