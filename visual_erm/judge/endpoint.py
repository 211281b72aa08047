"""One server behind a remote judge: how it is doing, which models it serves, and the connection to it.

    endpoint = Endpoint("http://10.0.0.1:8000/v1", connect("http://10.0.0.1:8000/v1", 300, key), key)
    await endpoint.ask_models()                         # "" and endpoint.roots, or what is wrong

The URL may hold a user and a password, `http://user:password@10.0.0.1:8000/v1`. They are sent as HTTP's basic
authentication in place of the key, and no message shows them.

`endpoint_pool` keeps the endpoints and decides which one gets the next request; `remote` sends it. Health and models are
asked with plain HTTP requests, so that neither a hung connection nor a full one stands in their way.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass

import httpx
import openai

HEALTH_S = 3.0
"""Seconds for an answer to `/health` or `/v1/models`."""
CONNECT_S = 10.0
"""Longest time, in seconds, until a connection for a request is there."""
MIN_PASSWORD = 4
"""Characters of the shortest password that is looked for in texts: a shorter one is a part of ordinary words."""
_PORT = re.compile(r"[0-9]*(/|$)")


@dataclass(eq=False)
class Endpoint:
    """One server, with the state that the pool keeps of it.

    Args:
        given: Base URL as the settings or the file have it, for example `http://10.0.0.1:8000/v1`. It is not shown.
        client: The connection for judgements; the pool closes it.
        key: API key, which health probes send too; empty for none.
    """

    given: str = field(repr=False)
    client: openai.AsyncOpenAI
    key: str = field(default="", repr=False)
    url: str = field(init=False)
    """The base URL without user and password, as messages and results have it."""
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

    def __post_init__(self) -> None:
        self.url = hide_login(self.given)

    def redact(self, text: str) -> str:
        """Removes key and password from a text that is shown: a server may repeat what it was sent.

        Args:
            text: The text.

        Returns:
            The text with `***` in place of each secret.
        """
        return redact(text, self.key, self.given)

    async def health_problem(self) -> str:
        """Returns why the server is not healthy; empty where it is, or where it has no page `/health`."""
        page = f"{self.url.rstrip('/').removesuffix('/v1')}/health"
        try:
            status = (await _get(page, self.key, _login(self.given))).status_code
        except httpx.HTTPError as error:
            return _unreachable(self.url, error)
        return f"{page} answers {status}" if status >= 500 else ""

    async def ask_models(self) -> str:
        """Asks for the models and keeps them in `roots`. Returns why the server cannot be reached; empty where it can."""
        try:
            self.roots = await models_at(self.given, self.key)
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
    login, url = _login(url), hide_login(url)
    answer = (await _get(f"{url.rstrip('/')}/models", key, login)).raise_for_status()
    try:
        return {str(model["id"]): str(model.get("root") or "") for model in answer.json()["data"]}
    except (AttributeError, LookupError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{url}/models holds no list of models") from error


def connect(url: str, timeout_s: float, key: str) -> openai.AsyncOpenAI:
    """Makes the client of one endpoint.

    Args:
        url: Base URL. A user and a password in it are sent in place of the key.
        timeout_s: Longest time of a request, in seconds.
        key: API key; where it is empty, a placeholder stands in for it.

    Returns:
        The client, which the caller closes. It opens no connection before the first request, and repeats none.
    """
    timeout = openai.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
    # By default every client reads all certificates of the machine again, and takes twice the time for each request.
    http = openai.DefaultAioHttpClient(timeout=timeout, verify=_trusted(), auth=_login(url))
    # The libraries' own logs show the address of a request, with the password in it.
    return openai.AsyncOpenAI(
        base_url=hide_login(url), api_key=key or "none", timeout=timeout, max_retries=0, http_client=http
    )


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


def hide_login(text: str) -> str:
    """Removes user and password from a URL, so that it can be shown.

    Args:
        text: A URL, or what was given for one.

    Returns:
        The URL without them. Of a text that is no URL, nothing is left that may be a part of a password.

    >>> hide_login("http://user:secret@10.0.0.1:8000/v1")
    'http://10.0.0.1:8000/v1'
    >>> hide_login("http://user:sec/ret@10.0.0.1:8000/v1")
    'http://10.0.0.1:8000/v1'
    """
    scheme, mark, rest = text.rpartition("://") if text.count("://") == 1 else ("", "", text)
    if is_url(text):
        place = urlsplit(text).netloc
        return f"{scheme}{mark}{place.rpartition('@')[2]}{rest.removeprefix(place)}"
    host, colon, port = rest.rpartition("@")[2].partition(":")
    if colon and not _PORT.match(port):
        port = "***"
    return f"{scheme}{mark}{host}{colon}{port}"


def redact(text: str, key: str, url: str = "") -> str:
    """Removes secrets from a text that is shown: a server may repeat what it was sent.

    Args:
        text: The text.
        key: The API key; empty for none.
        url: Base URL of the server. The password in it is removed too, in each form in which it is sent.

    Returns:
        The text with `***` in place of each secret.
    """
    secrets = [key]
    if login := _login(url):
        user, password = login
        sent = base64.b64encode(f"{user}:{password}".encode()).decode()
        # A token may stand where the user does.
        words = (urlsplit(url).password, password) if password else (urlsplit(url).username, user)
        secrets += [sent, *(word for word in words if word and len(word) >= MIN_PASSWORD)]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return text


def proxy_fix(url: str) -> str:
    """Says through which proxy of the environment a server is asked: a failure may be the proxy's.

    Args:
        url: Base URL of the server.

    Returns:
        The proxy, without a password in its address, its variable and the fix; empty where no proxy stands between.
    """
    address = urlsplit(hide_login(url))
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


async def _get(url: str, key: str, login: tuple[str, str] | None) -> httpx.Response:
    """The answer to one GET request within HEALTH_S. Raises httpx.HTTPError, whatever goes wrong."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        verify=_trusted(), timeout=HEALTH_S, headers=headers, follow_redirects=True, auth=login
    ) as client:
        try:
            return await asyncio.wait_for(client.get(url), HEALTH_S)
        except asyncio.TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {HEALTH_S:g} s") from None
        except httpx.InvalidURL as error:
            raise httpx.UnsupportedProtocol(str(error)) from error


def _login(url: str) -> tuple[str, str] | None:
    """User and password in a URL; None where it holds neither."""
    address = urlsplit(url) if is_url(url) else None
    if address is None or not (address.username or address.password):
        return None
    return unquote(address.username or ""), unquote(address.password or "")


def _unreachable(url: str, error: Exception) -> str:
    why = type(error).__name__ if not str(error) else f"{type(error).__name__}: {error}"
    fix = proxy_fix(url)
    return f"{url} cannot be reached ({why})" + (f"; {fix}" if fix else "")


@functools.cache
def _trusted() -> ssl.SSLContext:
    """What vouches for a server: the machine's certificates, or those that SSL_CERT_FILE names."""
    return ssl.create_default_context()
