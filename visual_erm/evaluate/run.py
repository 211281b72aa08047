"""`eval run`: asks a policy for its replies to a test set, scores them, and adds one line for each to a file.

    data = DataRows([Path("test.parquet")], tasks=None, root=None)
    writer = PolicyWriter(load_policy_settings("http://10.0.0.1:8000/v1"), n=1)
    summary = run(data, writer, load_judge_settings("local"), Path("eval.jsonl"), name="base judged by local")

It may be stopped at any moment, and goes on from there. A reply stays in the file, so it is never asked for twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from visual_erm.errors import ConfigError, InfrastructureError, ReferenceUnavailable
from visual_erm.evaluate.lines import RUN, ReplyLine, read_line, row_name, without_cut_line
from visual_erm.evaluate.rows import DataRow, DataRows, RowKey, digest_of
from visual_erm.evaluate.scoring import ReplyScorer
from visual_erm.jobs.result_file import ResultFile
from visual_erm.jobs.rows import FAILED, BadRow, JobRow, read_rows
from visual_erm.jobs.workers import Summary, ask_all, places
from visual_erm.judge.endpoint import hide_login
from visual_erm.policy.client import PolicyClient, messages_of
from visual_erm.reward.rollout_log import row_of
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.policy import PolicySettings
from visual_erm.vision.images import load_image

LOCAL_IN_FLIGHT = 8
"""Replies in flight where none has to be waited for: those of the scoring."""
WRITTEN = ("reply", "reply_truncated", "prompt_tokens", "reply_tokens")
"""Entries of a line that say what the policy wrote. They are kept where only the scoring failed."""


class Writer(Protocol):
    """Where replies come from. Used from one event loop."""

    in_flight: int
    """Replies in flight at most."""

    def samples(self, key: RowKey) -> int:
        """How many replies there are to a row."""
        ...

    async def open(self) -> None:
        """Finds what writes. Raises ConfigError, PolicyUnavailable."""
        ...

    async def write(self, row: DataRow, sample: int) -> dict[str, Any]:
        """Gets one reply: entries of WRITTEN. Raises BadRow, InfrastructureError."""
        ...

    async def close(self) -> None:
        """Ends what was started."""
        ...


class PolicyWriter:
    """Asks a policy.

    Args:
        settings: Where it is served, and how it writes.
        n: Replies to a row. Each gets a seed of its own.

    Raises:
        ConfigError: Several replies are asked for at temperature 0, or an endpoint is no URL.
    """

    def __init__(self, settings: PolicySettings, n: int = 1) -> None:
        if n > 1 and not settings.sampling.temperature:
            raise ConfigError(
                f"--n {n}: at temperature 0 all replies to a row are the same; set `sampling: {{temperature: 1.0, "
                "max_tokens: 8192}` in the policy's YAML file"
            )
        self._settings = settings
        self._n = n
        self._client: PolicyClient | None = None
        self.in_flight = places(settings)

    def samples(self, key: RowKey) -> int:
        """The same for each row."""
        return self._n

    async def open(self) -> None:
        """Finds the servers; see `Writer.open`."""
        self._client = PolicyClient(self._settings)
        await self._client.open()

    async def write(self, row: DataRow, sample: int) -> dict[str, Any]:
        """Asks for one reply; see `Writer.write`."""
        assert self._client is not None
        try:
            images = [await asyncio.to_thread(load_image, image) for image in row.images()]
        except ReferenceUnavailable as error:
            # It calls any image that it loads the reference.
            raise BadRow(f"{row.key.place}: `images`: {str(error).removeprefix('reference ')}") from error
        shown = [await self._client.show(image) for image in images]
        try:
            messages = messages_of(row.prompt(), shown)
        except BadRow:
            raise
        except ConfigError as error:
            raise BadRow(f"{row.key.place}: {error}") from error
        reply = await self._client.write(messages, seed=sample if self._n > 1 else None)
        return dict(zip(WRITTEN, (reply.text, reply.truncated, reply.prompt_tokens, reply.reply_tokens), strict=True))

    async def close(self) -> None:
        """Ends every connection."""
        if self._client is not None:
            await self._client.close()


class GivenReplies:
    """Replies of a file.

    Args:
        path: JSON lines with `reply`, and `index` (or `id`): the `extra_info.index` of the row. Several lines of one row
            are several replies to it.
        data: The rows.

    Raises:
        ConfigError: The file cannot be read, or has no reply to any row.
    """

    in_flight = LOCAL_IN_FLIGHT

    def __init__(self, path: Path, data: DataRows) -> None:
        lines, problems = read_rows(path, _GivenReply)
        self.problems = without_cut_line(path, problems)
        self._replies: dict[RowKey, list[str]] = defaultdict(list)
        names = {(str(key.index), split): key for key in data.keys for split in (key.split, None)}
        for line in lines:
            key = names.get((line.index, line.content.get("split")))
            if key is None:
                self.problems.append(f"{line.place}: the data has no row with the index {line.index}")
            else:
                self._replies[key].append(line.content["reply"])
        if not self._replies:
            raise ConfigError(self.problems[0] if self.problems else f"{path}: holds no reply")
        missing = [key for key in data.keys if key not in self._replies]
        self.problems += [f"{key.place}: {path} has no reply to it" for key in missing]

    def samples(self, key: RowKey) -> int:
        """As many as the file has."""
        return len(self._replies.get(key, ()))

    async def open(self) -> None:
        """All is read."""

    async def write(self, row: DataRow, sample: int) -> dict[str, Any]:
        """Finds the reply; see `Writer.write`."""
        return {"reply": self._replies[row.key][sample], "reply_truncated": False}

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class _GivenReply(JobRow):
    """A line of a file of replies."""

    def __post_init__(self) -> None:
        if not isinstance(self.content.get("reply"), str):
            raise BadRow(f"{self.place}: needs `reply`, the text that the policy wrote")
        if not isinstance(self._name, int | str) or isinstance(self._name, bool):
            raise BadRow(f"{self.place}: needs `index` or `id`: the `extra_info.index` of its row")

    @property
    def _name(self) -> object:
        return next((self.content[key] for key in ("index", "id") if self.content.get(key) is not None), None)

    @property
    def index(self) -> str:
        """The index of the row that is replied to."""
        return str(self._name)

    @property
    def id(self) -> str:
        """Every line counts."""
        return self.place


def name_of(policy: str, judge: str, also: Sequence[str]) -> str:
    """Says how lines were made: lines of another policy or judge do not belong into the same file.

    Args:
        policy: The policy, or the file of replies.
        judge: The judge.
        also: Measures that were asked for.

    Returns:
        One line, without passwords.
    """
    named = [hide_login(one) if "://" in one else one for one in (policy, judge)]
    return f"{named[0]} judged by {named[1]}{''.join(f', with {one}' for one in sorted(also))}"


def run(
    data: DataRows,
    writer: Writer,
    judge: JudgeSettings,
    to: Path,
    *,
    name: str,
    also: Sequence[str] = (),
    dino: str | None = None,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Summary:
    """Gets and scores the replies to every row, and adds one line for each to a file.

    Args:
        data: The rows.
        writer: Where replies come from.
        judge: The judge.
        to: The file. Replies that it has are not asked for again.
        name: Says how the lines are made, see `name_of`.
        also: Further measures.
        dino: The checkpoint of the measure `dino`.
        retry_failed: Do again what failed. A reply that is in the file is scored, not asked for again.
        console: Shows progress and failures; None: nothing is shown.

    Returns:
        What became of the run.

    Raises:
        ConfigError: A setting is wrong, or the file holds something else.
        PolicyUnavailable: No server of the policy answers.
    """
    keys: dict[str, RowKey] = {}
    for key in data.keys:
        if keys.setdefault(row_name(key.split, key.index), key) is not key:
            raise ConfigError(f"{key.place}: its `extra_info.index` is {key.index}, as that of an earlier row; number them")
    rows = [_waiting(key, sample) for key in data.keys for sample in range(writer.samples(key))]
    with ResultFile(to, read_line) as results:
        waiting = results.waiting(rows, RUN, name, "replies", retry_failed)
        summary = Summary(kept=len(rows) - len(waiting))

        async def answer_all() -> None:
            async with ReplyScorer(data.tasks, judge, also, dino) as scorer:

                async def answer(line: ReplyLine) -> dict[str, Any]:
                    former = results.rows.get(line.id)
                    known = former.content if former is not None and "reply" in former.content else None
                    return await _answer(data, keys[line.row], line.content["sample"], writer, scorer, known)

                if waiting:
                    await writer.open()
                title, shown = "evaluating", console or Console(quiet=True)
                await ask_all(waiting, answer, results, writer.in_flight, title, shown, summary, {RUN: name})

        async def main() -> None:
            try:
                await answer_all()
            finally:
                await writer.close()

        asyncio.run(main())
    return summary


def _waiting(key: RowKey, sample: int) -> ReplyLine:
    names = {"id": f"{row_name(key.split, key.index)}-{sample}", "index": key.index, "split": key.split, "sample": sample}
    return ReplyLine(key.place, {**names, "task": key.task})


async def _answer(
    data: DataRows, key: RowKey, sample: int, writer: Writer, scorer: ReplyScorer, known: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What is added to a line: a reply and what was found of it, or FAILED with the reason."""
    begun = time.perf_counter()
    written: dict[str, Any] = {}
    try:
        row = await asyncio.to_thread(data.load, key)
        reference = row.reference()
        shared = await asyncio.to_thread(digest_of, reference)
        written = {name: known[name] for name in WRITTEN if name in known} if known else await writer.write(row, sample)
        found = await scorer.score(key.task, written["reply"], reference, row.truth)
    except BadRow as error:
        return {**written, FAILED: str(error).removeprefix(f"{key.place}: ")}
    except OSError as error:
        return {**written, FAILED: f"reference: cannot be read: {error.strerror}"}
    except InfrastructureError as error:
        return {**written, FAILED: f"{type(error).__name__}: {error}"}
    more = {name: found.pop(name) for name in tuple(found) if name in (FAILED, "reason", "outcome", "report")}
    line = row_of(str(row.content.get("data_source")), written["reply"], row.extra_info, found, **more)
    own = {"index": key.index, "split": key.split, "reference": shared}
    return {**line, **own, **written, "seconds": round(time.perf_counter() - begun, 3)}
