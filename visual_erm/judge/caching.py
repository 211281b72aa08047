"""The judge that makes no call it can spare: for equal images, for pairs being judged, and for pairs judged before.

It stands before a judge behind servers. The rollouts of a group often render to the same image, and a trained policy often
renders the reference itself. The key of a judgement is the pixels of both images, the checkpoint behind the served name,
the question, the format of the report, and the version of its parser.

    judge = CachingJudge(RemoteJudge(settings), settings)

The checkpoint is what the servers list as `root` of the model. They are asked when they join and after each failure. A
report is kept, and a kept one is used, only where the checkpoint is known and was the same before and after the call.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from visual_erm.judge.base import Judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import PARSER_VERSION, Report, report_schema
from visual_erm.runtime.cache import Cache
from visual_erm.runtime.singleflight import SingleFlight
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.vision.images import digest_of

log = logging.getLogger(__name__)

FILE = "judgements.sqlite"
"""The file in `cache_dir`: one table of reports by key."""
LOCK_TIMEOUT_S = 10.0
"""Seconds that one process waits for another that writes to the same file."""
_REPORT = TypeAdapter(Report)


class AskedJudge(Judge, Protocol):
    """A judge whose reports may be reused."""

    async def model_root(self) -> str | None:
        """Returns what tells the checkpoint from others; None where it is not known: no report is kept then."""
        ...


class CachingJudge:
    """Asks another judge only where nothing else answers. Bound to one event loop.

    Args:
        judge: The judge that is asked; it is closed with this one.
        settings: What is reused, and what is asked.
    """

    def __init__(self, judge: AskedJudge, settings: JudgeSettings) -> None:
        self._judge = judge
        self._reuse = settings.reuse
        self._model = settings.model
        self._form = settings.structured, settings.vllm_fields
        self._known: Cache[Report] = Cache(self._reuse.cache_size)
        keeps_on_disk = self._reuse.cache and self._reuse.cache_dir
        self._store = _Store(Path(self._reuse.cache_dir or ""), self._reuse.cache_size) if keeps_on_disk else None
        self._calls: SingleFlight[Report] = SingleFlight()

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Lists what differs between two images.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            task: The task of the sample.
            usage: Takes what the judgement costs: `identical`, `shared` or `cached` is 1 where no call was made.

        Returns:
            The report; empty for images that are pixel for pixel the same.

        Raises:
            JudgeUnavailable, JudgeUnreadable: The judge failed. All samples that share a call fail with it.
            ConfigError: An endpoint serves other models.
        """
        usage = JudgeUsage() if usage is None else usage
        first, second = await asyncio.to_thread(lambda: (digest_of(reference), digest_of(prediction)))
        if first == second and self._reuse.identical:
            usage.identical = 1
            return Report()
        root = await self._judge.model_root() if self._reuse.cache else None
        key = self._key(first + second, task, root)
        if root is not None and (known := await self._find(key)):
            usage.cached = 1
            return known

        async def ask() -> Report:
            report = await self._judge.judge(reference, prediction, task, usage)
            # A server may have joined, left, or come back with another checkpoint meanwhile.
            if root is not None and await self._judge.model_root() == root:
                await self._keep(key, report)
            return report

        if not self._reuse.shared:
            return await ask()
        usage.shared = int(key in self._calls)
        return await self._calls.get(key, ask)

    async def close(self) -> None:
        """Closes the judge that is asked, and the file. May be called twice."""
        await self._judge.close()
        if self._store:
            await asyncio.to_thread(self._store.close)

    def _key(self, digests: bytes, task: Task, root: str | None) -> bytes:
        """16 bytes that tell a judgement from others: by images, judge, question, and how the answer is read."""
        asked = [self._model, root, task.name, task.judge.model_dump_json(), *self._form]
        read = [task.report.model_dump_json(), report_schema(task.report), PARSER_VERSION]
        return blake2b(digests + json.dumps([asked, read]).encode(), digest_size=16).digest()

    async def _find(self, key: bytes) -> Report | None:
        known = self._known.find(key)
        if known is None and self._store and (known := await self._store.find(key)):
            self._known.keep(key, known)
        return known

    async def _keep(self, key: bytes, report: Report) -> None:
        self._known.keep(key, report)
        if self._store:
            await self._store.keep(key, report)


class _Store:
    """Reports in an SQLite file, shared by the workers of a node. A file that fails is not used again."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge-cache")
        self._file: sqlite3.Connection | None = None
        self._failed = False

    async def find(self, key: bytes) -> Report | None:
        return None if self._failed else await asyncio.get_running_loop().run_in_executor(self._thread, self._find, key)

    async def keep(self, key: bytes, report: Report) -> None:
        if not self._failed:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._keep, key, report)

    def close(self) -> None:
        if self._file is not None and not self._failed:
            self._thread.submit(self._file.close)
        self._failed = True
        self._thread.shutdown()

    def _find(self, key: bytes) -> Report | None:
        rows = self._do("select report from reports where key = ?", key)
        try:
            return _REPORT.validate_json(rows[0][0]) if rows else None
        except ValidationError as error:
            self._fail(error)
            return None

    def _keep(self, key: bytes, report: Report) -> None:
        self._do("insert or replace into reports values (?, ?)", key, _REPORT.dump_json(report).decode())
        self._do("delete from reports where rowid <= (select max(rowid) from reports) - ?", self._limit)

    def _do(self, statement: str, *values: object) -> list[tuple[str]]:
        """What a statement finds; nothing once the file has failed."""
        if self._failed:
            return []
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = sqlite3.connect(self._folder / FILE, timeout=LOCK_TIMEOUT_S)
                self._file.execute("create table if not exists reports (key blob primary key, report text not null)")
            with self._file:
                return self._file.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return []

    def _fail(self, error: Exception) -> None:
        self._failed = True
        log.warning("judge: the cache in %s is not used any more: %s", self._folder, error)
