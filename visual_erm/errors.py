"""Whose fault: the vocabulary of failures on the way from a policy's text to its reward.

Every station of the path raises one of these and nothing else; the pipeline answers for them. The two bases decide
what a sample gets: a `PolicyFault` earns the minimum reward, an `InfrastructureError` never costs the policy anything.
"""

import contextlib
import logging
from collections.abc import Iterator

log = logging.getLogger(__name__)


class VisualERMError(Exception):
    """Base of everything this project raises on purpose."""


class ConfigError(VisualERMError):
    """A setting, a task file or a data row is wrong: the message names the file, the key and the fix."""


class PolicyFault(VisualERMError):
    """The policy's text does not become a image: the sample earns the minimum reward, with this message as reason."""


class NoCodeError(PolicyFault):
    """The reply holds no code in any of the task's languages."""


class RenderFailed(PolicyFault):
    """The code does not draw: it is malformed beyond what its language forgives, or it raised."""


class RenderLimit(PolicyFault):
    """The code went over its own limit of time, memory or pixels."""


class BlankImage(PolicyFault):
    """The code ran and drew nothing."""


class Tampering(PolicyFault):
    """The code went for the reference, the judge or the sandbox instead of drawing; flagged as such."""


class InfrastructureError(VisualERMError):
    """Something on our side failed: retried, then recorded, and never held against the policy."""


class StationFailed(InfrastructureError):
    """A station raised what it should not: an error of OpenCV, Pillow or NumPy on a strange image, or of ours."""


class RendererUnavailable(InfrastructureError):
    """The browser or sandbox is missing, or died more often than it may."""


class ReferenceUnavailable(InfrastructureError):
    """The reference image is missing or cannot be read."""


class JudgeUnavailable(InfrastructureError):
    """No endpoint answered within the retries and time allowed."""


class JudgeUnreadable(InfrastructureError):
    """The judge answered, but its reply holds no report."""


class ComparisonFailed(InfrastructureError):
    """A reply could not be compared with its ground truth or reference: it took too long, or its process died."""


class TooManyFailures(InfrastructureError):
    """Too many recent samples lost their judgement: the run must stop rather than learn from noise."""


class RunInterrupted(VisualERMError):
    """The run ended before its last step, and not by failing: the same command goes on from the last checkpoint."""


@contextlib.contextmanager
def boundary(station: str) -> Iterator[None]:
    """Turns an exception that nobody expected into StationFailed, with its traceback in the log.

    Exceptions of this project pass through as they are.
    """
    try:
        yield
    except VisualERMError:
        raise
    except Exception as error:
        log.exception("%s failed unexpectedly", station)
        raise StationFailed(f"{station}: {type(error).__name__}: {error}") from error
