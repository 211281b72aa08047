"""What tests look for in processes: whether they came of a test, by a variable that it put into their environment, and
what place Linux gives them."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from visual_erm.runtime.cpu_priority import NICER


def marked(name: str, **values: str) -> list[psutil.Process]:
    """Processes that inherited the environment variable `name`, and others with these values."""
    return [
        process
        for process, environ in environments(psutil.process_iter())
        if name in environ and values.items() <= environ.items()
    ]


def environments(processes: Iterable[psutil.Process]) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """The environment of each process, without those that have ended meanwhile."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            yield process, process.environ()


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kills processes. Some may end meanwhile, because another was killed."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def nicer_than_other_sessions(pid: int) -> bool:
    """Where Linux shares processors out by session: whether the session of `pid` steps back."""
    shares = Path(f"/proc/{pid}/autogroup")
    said = shares.read_text() if shares.exists() else ""
    return not said or said.endswith(f" nice {NICER}\n")
