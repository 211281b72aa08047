"""The judge that asks only what it must: what is equal, is being judged, or was judged before costs no call.

Stands before a judge behind servers. The rollouts of a group often draw the same image, and a policy that has learned
draws the reference itself; a pair is known by the pixels of both images and by all that the answer depends on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from visual_erm.judge.base import Judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report
from visual_erm.runtime.cache import Cache
from visual_erm.runtime.singleflight import SingleFlight
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.vision.images import digest_of

log = logging.getLogger(__name__)

FILE = "judgements.sqlite"
_REPORT = TypeAdapter(Report)
BUSY_S = 10.0
"""How long one process waits for another that writes to the same file."""


class CachingJudge:
    """Asks `judge` no more than it must. Bound to one event loop; closes `judge` with itself."""

    def __init__(self, judge: Judge, settings: JudgeSettings) -> None:
        self._judge = judge
        self._savings = settings.reuse
        self._model = settings.model
        self._known: Cache[Report] = Cache(self._savings.cache_size)
        keeps_on_disk = self._savings.cache and self._savings.cache_dir
        self._store = _Store(Path(self._savings.cache_dir or ""), self._savings.cache_size) if keeps_on_disk else None
        self._calls: SingleFlight[Report] = SingleFlight()

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, account: JudgeUsage | None = None
    ) -> Report:
        """What differs, reference first. Raises what the judge raises, for all that share a call."""
        account = JudgeUsage() if account is None else account
        key, equal = await asyncio.to_thread(self._key, reference, prediction, task)
        if equal and self._savings.identical:
            account.identical = 1
            return Report()
        if self._savings.cache and (known := await self._find(key)):
            account.cached = 1
            return known
        if not self._savings.shared:
            return await self._ask(key, reference, prediction, task, account)
        account.shared = int(key in self._calls)
        return await self._calls.get(key, lambda: self._ask(key, reference, prediction, task, account))

    async def close(self) -> None:
        """Closes the judge, and the file. May be called twice."""
        await self._judge.close()
        if self._store:
            await asyncio.to_thread(self._store.close)

    def _key(self, reference: Image.Image, prediction: Image.Image, task: Task) -> tuple[bytes, bool]:
        """16 bytes that tell a judgement from others, and whether the two images are the same."""
        first, second = digest_of(reference), digest_of(prediction)
        asked = f"{self._model}\n{task.name}\n{task.judge.model_dump_json()}\n{task.report.model_dump_json()}"
        return blake2b(first + second + asked.encode(), digest_size=16).digest(), first == second

    async def _find(self, key: bytes) -> Report | None:
        known = self._known.find(key)
        if known is None and self._store and (known := await self._store.find(key)):
            self._known.keep(key, known)
        return known

    async def _ask(
        self, key: bytes, reference: Image.Image, prediction: Image.Image, task: Task, account: JudgeUsage
    ) -> Report:
        report = await self._judge.judge(reference, prediction, task, account)
        if self._savings.cache:
            self._known.keep(key, report)
            if self._store:
                await self._store.keep(key, report)
        return report


class _Store:
    """Reports in an SQLite file, shared by the workers of a node. A file that fails is left alone: it only saves calls."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge-cache")
        self._file: sqlite3.Connection | None = None
        self._failed = False

    async def find(self, key: bytes) -> Report | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, key)

    async def keep(self, key: bytes, report: Report) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._keep, key, report)

    def close(self) -> None:
        if self._file is not None:
            self._thread.submit(self._file.close)
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
                self._file = sqlite3.connect(self._folder / FILE, timeout=BUSY_S)
                self._file.execute("create table if not exists reports (key blob primary key, report text not null)")
            with self._file:
                return self._file.execute(statement, values).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
            return []

    def _fail(self, error: Exception) -> None:
        self._failed = True
        log.warning("judge: the cache in %s is left alone from now on: %s", self._folder, error)
