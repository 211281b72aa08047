"""Results of a check: problems and warnings, each with the key to change and the fix, and notes on what it looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from visual_erm.preflight.context import RunContext


@dataclass(frozen=True)
class _Fault:
    """Something to change before a run."""

    key: str
    """The setting to change, as the command line writes it; its subject where no setting is to blame."""
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what}; {self.fix}"


class Problem(_Fault):
    """Something that would stop the run or make its result useless."""


class Caution(_Fault):
    """A warning: something that makes the run's result worse. The run starts nevertheless."""


@dataclass(frozen=True)
class Note:
    """What a check looked at, for the line that says that all is well."""

    text: str


Finding = Problem | Caution | Note


@dataclass(frozen=True)
class Check:
    """One look at the run. An exception that `find` raises is an error of the check, not of the run."""

    title: str
    find: Callable[[RunContext], Iterable[Finding]]
    needs: tuple[str, ...] = ()
    """Titles of checks that must pass first: otherwise this one would only repeat their problems."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check."""

    title: str
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Caution, ...] = field(default=(), kw_only=True)
    notes: tuple[str, ...] = ()
    failure: str = ""
    """Why the check itself failed; empty when it did not."""
    skipped: tuple[str, ...] = ()
    """Titles of the checks that it waits for."""
    seconds: float = field(default=0.0, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the check was done and found no problem. It may have warnings."""
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
