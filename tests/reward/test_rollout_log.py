"""The rollout log loses no line: not on close, not when the disk was full, not when its process is killed."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from visual_erm.errors import TooManyFailures
from visual_erm.reward.rollout_log import ABORT_REASON, RolloutLog, is_validation, row_of, write_abort_reason


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]


@pytest.mark.parametrize("split", ["train", "test", "dev", None])
@pytest.mark.parametrize("validate", [True, False, None])
def test_a_line_says_whether_veRL_validates_and_only_without_its_word_asks_the_row(split, validate) -> None:
    extra = {"index": 0, "split": split, **({} if validate is None else {"validate": validate})}
    expected = split == "test" if validate is None else validate
    line = row_of("table", "reply", extra, {"score": 1.0})
    assert line["validate"] is expected and is_validation(line) is expected


async def test_a_line_is_in_the_file_when_append_returns_and_the_file_is_opened_once(tmp_path, monkeypatch) -> None:
    opened = []
    really = os.open
    monkeypatch.setattr(os, "open", lambda *words, **more: opened.append(words[0]) or really(*words, **more))
    log = RolloutLog(tmp_path / "log")
    for number in range(3):
        await log.append(row_of("table", "reply", {"index": number, "split": "train"}, {"score": 1.0}, reason=""))
        assert [line["index"] for line in lines(tmp_path / "log")] == list(range(number + 1))
    await log.close()
    await log.close()
    assert opened == [log.file]


async def test_the_event_loop_writes_nothing_itself_and_lines_that_wait_are_written_together(tmp_path, monkeypatch) -> None:
    threads, written, going_on = set(), [], threading.Event()
    really = os.write

    def write(descriptor: int, content: bytes) -> int:
        threads.add(threading.current_thread())
        written.append(bytes(content))
        going_on.wait(10)
        return really(descriptor, content)

    monkeypatch.setattr(os, "write", write)
    log = RolloutLog(tmp_path)
    appended = [asyncio.create_task(log.append({"number": number})) for number in range(50)]
    await asyncio.sleep(0.1)
    going_on.set()
    await asyncio.gather(*appended)
    await log.close()
    assert threading.main_thread() not in threads
    assert len(written) <= 2
    assert [line["number"] for line in lines(tmp_path)] == list(range(50))


async def test_what_a_full_disk_refuses_is_told_and_written_later(tmp_path, monkeypatch) -> None:
    log = RolloutLog(tmp_path)
    really = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) > 5:
            return really(descriptor, bytes(content[:5]))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        await log.append({"number": 1})
    monkeypatch.setattr(os, "write", really)
    await log.append({"number": 2})
    await log.close()
    assert [line["number"] for line in lines(tmp_path)] == [1, 2]


WORKER = """
import asyncio, sys
from visual_erm.reward.rollout_log import RolloutLog

async def main():
    log = RolloutLog(sys.argv[1])
    for number in range(10**9):
        await log.append({"number": number, "reply": "x" * 1000})
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_is_killed_has_written_every_line_that_it_returned(tmp_path: Path, kill: signal.Signals) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    returned = [int(worker.stdout.readline()) for _ in range(200)][-1]
    worker.send_signal(kill)
    returned = max([returned, *(int(line) for line in worker.stdout.read().split("\n")[:-1])])
    worker.wait()
    (file,) = tmp_path.glob("*.jsonl")
    whole = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert [json.loads(line)["number"] for line in whole][: returned + 1] == list(range(returned + 1))


def test_the_reason_to_stop_is_there_as_a_whole(tmp_path: Path) -> None:
    write_abort_reason(tmp_path / "log", TooManyFailures("60 of the last 256"))
    assert [file.name for file in (tmp_path / "log").iterdir()] == [ABORT_REASON]
    assert (tmp_path / "log" / ABORT_REASON).read_text() == "TooManyFailures: 60 of the last 256\n"
