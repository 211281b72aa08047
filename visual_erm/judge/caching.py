"""The judge that asks only what it must: what is equal, is being judged, or was judged before costs no call.

Stands before a judge behind servers. The rollouts of a group often draw the same image, and a policy that has learned
draws the reference itself. A judgement is known by the pixels of both images, the checkpoint behind the served name, the
question, the schema of the report, and the version of its parser.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from visual_erm.judge.remote import RemoteJudge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import PARSER_VERSION, Report, report_schema
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

    def __init__(self, judge: RemoteJudge, settings: JudgeSettings) -> None:
        self._judge = judge
        self._reuse = settings.reuse
        self._model = settings.model
        self._structured = settings.structured
        self._known: Cache[Report] = Cache(self._reuse.cache_size)
        keeps_on_disk = self._reuse.cache and self._reuse.cache_dir
        self._store = _Store(Path(self._reuse.cache_dir or ""), self._reuse.cache_size) if keeps_on_disk else None
        self._calls: SingleFlight[Report] = SingleFlight()

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """What differs, reference first. Raises what the judge raises, for all that share a call."""
        usage = JudgeUsage() if usage is None else usage
        first, second = await asyncio.to_thread(lambda: (digest_of(reference), digest_of(prediction)))
        if first == second and self._reuse.identical:
            usage.identical = 1
            return Report()
        root = await self._judge.model_root() if self._reuse.cache else None
        key = self._key(first + second, task, root)
        # Until an endpoint has answered nobody knows whose reports those on disk are.
        store = self._store if root is not None else None
        if self._reuse.cache and (known := await self._find(key, store)):
            usage.cached = 1
            return known
        if not self._reuse.shared:
            return await self._ask(key, store, reference, prediction, task, usage)
        usage.shared = int(key in self._calls)
        return await self._calls.get(key, lambda: self._ask(key, store, reference, prediction, task, usage))

    async def close(self) -> None:
        """Closes the judge, and the file. May be called twice."""
        await self._judge.close()
        if self._store:
            await asyncio.to_thread(self._store.close)

    def _key(self, digests: bytes, task: Task, root: str | None) -> bytes:
        """16 bytes that tell a judgement from others: by images, judge, question, and how the answer is read."""
        question = [task.name, task.judge.model_dump_json(), json.dumps(report_schema(task.report)), str(self._structured)]
        asked = "\n".join([self._model, str(root), *question, str(PARSER_VERSION)])
        return blake2b(digests + asked.encode(), digest_size=16).digest()

    async def _find(self, key: bytes, store: _Store | None) -> Report | None:
        known = self._known.find(key)
        if known is None and store and (known := await store.find(key)):
            self._known.keep(key, known)
        return known

    async def _ask(
        self,
        key: bytes,
        store: _Store | None,
        reference: Image.Image,
        prediction: Image.Image,
        task: Task,
        usage: JudgeUsage,
    ) -> Report:
        report = await self._judge.judge(reference, prediction, task, usage)
        if self._reuse.cache:
            self._known.keep(key, report)
            if store:
                await store.keep(key, report)
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
