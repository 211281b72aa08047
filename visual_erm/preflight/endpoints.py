"""Does every endpoint of a remote judge answer with a report? Each is asked for a pair of references, all at once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable, ReferenceUnavailable
from visual_erm.judge.endpoint import hide_login, proxy_fix
from visual_erm.judge.endpoint_pool import read_endpoints
from visual_erm.judge.remote import RemoteJudge
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.data import reference_image
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.spec.task import Task

REPORT_TIMEOUT_S = 60.0
"""Seconds that an endpoint has for one report."""
START = "start it: visual-erm serve MODEL; `visual-erm doctor --judge URL` asks it again"


def check_endpoints(context: RunContext) -> Iterator[Finding]:
    """Checks that every endpoint of a remote judge answers with a report. Other judges are not asked.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if "judge" not in context.needs or context.judge.kind != "remote":
        return
    file = context.judge.endpoints_file
    try:
        urls = read_endpoints(Path(file)) if file else context.judge.endpoints
    except ConfigError as error:
        yield from problems_from(error, "judge.endpoints_file", "write one base URL a line, like http://10.0.0.1:8000/v1")
        return
    if not urls:
        yield Problem(
            "judge.endpoints_file", f"no endpoint in {file}", f"start one: visual-erm serve MODEL --endpoints-file {file}"
        )
        return
    images = [*itertools.islice(_images(context), 2)] or [Image.new("RGB", (300, 120), "white")]
    problems = asyncio.run(_ask_all(context, urls, (images[0], images[-1])))
    yield Note(f"{len(urls) - len(problems)} of {len(urls)} wrote a report")
    yield from problems


def _images(context: RunContext) -> Iterator[Image.Image]:
    """Loads reference images of the data; those that do not open are left out."""
    for row in itertools.chain(*context.rows.values()):
        with contextlib.suppress(ConfigError, ReferenceUnavailable):
            yield reference_image(context, row)


async def _ask_all(context: RunContext, urls: tuple[str, ...], pair: tuple[Image.Image, Image.Image]) -> list[Problem]:
    tasks = itertools.cycle(context.tasks.values())
    asked = [_ask(context, url, pair, task) for url, task in zip(urls, tasks, strict=False)]
    return [problem for problem in await asyncio.gather(*asked) if problem]


async def _ask(context: RunContext, url: str, pair: tuple[Image.Image, Image.Image], task: Task) -> Problem | None:
    """Asks one endpoint; returns its problem, or None."""
    limit_s = min(context.judge.timeout_s, REPORT_TIMEOUT_S)
    one_endpoint = {
        "endpoints": (url,),
        "endpoints_file": None,
        "retries": 0,
        "timeout_s": limit_s,
        "unavailable_timeout_s": 0.5,
    }
    key = "judge.endpoints_file" if context.judge.endpoints_file else "judge.endpoints"
    shown = hide_login(url)
    try:
        judge = RemoteJudge(context.judge.model_copy(update=one_endpoint))
    except ConfigError as error:
        return Problem(key, str(error), "write it like http://10.0.0.1:8000/v1")
    try:
        await asyncio.wait_for(judge.judge(*pair, task), 2 * limit_s)
    except ConfigError as error:
        what, _, fix = str(error).partition("; ")
        return Problem("judge.model", what, fix)
    except JudgeUnreadable as error:
        return Problem(
            key, f"{shown} answers, but not with a report: {error}",
            "is it the reward model that is served there? judge.structured=true holds it to the report's form",
        )  # fmt: skip
    except (JudgeUnavailable, asyncio.TimeoutError) as error:
        return Problem(key, *_explained(shown, str(error) or f"{shown} has not answered", limit_s))
    finally:
        await judge.close()
    return None


def _explained(url: str, message: str, limit_s: float) -> tuple[str, str]:
    """Returns what a failure means, and how to fix it."""
    message = message.rpartition("the last failure: ")[2].rpartition("the last: ")[2]
    what, _, fix = message.partition("; ")
    what = what if url in what else f"{url}: {what}"
    if proxy := proxy_fix(url):
        return what, proxy
    if "Certificate" in message or "SSL" in message:
        return what, "its TLS certificate is not trusted here: name its authority's file in SSL_CERT_FILE, or write http://"
    if "did not answer" in message or "has not answered" in message:
        return what, f"it takes longer than {limit_s:g} s: see the server's log, and whether others use it"
    return what, fix or START
