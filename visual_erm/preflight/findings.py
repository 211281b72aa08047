"""What a check finds: problems, each with the key to change and how, and in a few words what it looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from visual_erm.preflight.context import RunContext


@dataclass(frozen=True)
class Problem:
    """Something that would stop the run, or spoil it."""

    key: str
    """The setting to change, as the command line writes it; for what is no setting, what it is about."""
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}; {self.fix}"


@dataclass(frozen=True)
class Note:
    """What a check looked at, for the line that says that all is well."""

    text: str


Finding = Problem | Note


@dataclass(frozen=True)
class Check:
    """One look at the run. An exception that `find` raises is an error of the check, not of the run."""

    title: str
    find: Callable[[RunContext], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    """Titles of the checks without which this one would only repeat what they say."""


@dataclass(frozen=True)
class Outcome:
    """What became of a check."""

    title: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""
    """Why it could not be done; empty when it was."""
    skipped: tuple[str, ...] = ()
    """Titles of the checks that it waits for."""
    seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the check was done and found nothing."""
        return not (self.problems or self.failure or self.skipped)


def problems_from(error: Exception, key: str, fix: str = "") -> Iterator[Problem]:
    """Reads problems from the message of an error: one a line, the problem before the first semicolon, then the fix.

    Args:
        error: The error.
        key: The setting to change.
        fix: The fix for lines that have none.

    Yields:
        A problem for each line.
    """
    for line in str(error).splitlines():
        what, _, its_fix = line.partition("; ")
        yield Problem(key, what.removeprefix(f"{key}: "), its_fix or fix)
