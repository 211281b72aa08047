"""The exceptions of the reward path: one type per boundary, and two bases that say whose fault a failure is.

A `PolicyFault` earns the policy the minimum reward. An `InfrastructureError` never costs the policy anything: the sample
gets a neutral reward, until too many fail. `visual_erm.reward.outcome` names what each becomes in a result.

    with boundary("judge"):
        report = await judge.judge(reference, image, task)      # an IndexError in there becomes StageFailed

Messages go to logs and to the rollout log. None of them may be shown to the policy as it is: some quote the reference or
the judge. `visual_erm.refine.feedback` says what a policy is told.
Many quote the policy: every message is made `printable`, so that it cannot control the terminal that shows it.
"""

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator

log = logging.getLogger(__name__)

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, and characters that reverse or break a line."""


def printable(text: str) -> str:
    r"""Cleans text of what a terminal obeys, for example codes that move the cursor, set the title or reverse the line.

    Args:
        text: Any text, for example the message of a script's exception.

    Returns:
        The text, with each control character written as Python writes it: `\x1b`. Tabs and line feeds stay.
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


class VisualERMError(Exception):
    """Base of everything that this project raises on purpose.

    Args:
        message: What happened. It is made printable.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message))


class ConfigError(VisualERMError):
    """A setting, a task file or a data row is wrong. The message names the file, the key and the fix."""


class PolicyFault(VisualERMError):
    """The policy's reply does not become an image. The sample earns the minimum reward; the message is the reason."""


class NoCodeError(PolicyFault):
    """The reply holds no code in any of the task's languages."""


class RenderFailed(PolicyFault):
    """The code does not render: it is malformed beyond what its language forgives, or it raised."""


class RenderLimit(PolicyFault):
    """The code went over its own limit of time, memory or pixels."""


class BlankImage(PolicyFault):
    """The code ran and showed nothing, or a single color where the reference has more."""


class Illegible(PolicyFault):
    """The image cannot be compared because of its own shape or cost: reading it takes more than its budget."""


class TooSmall(Illegible):
    """The print of the image is too small in what the judge is sent, and that of the reference is not."""


class RasterImage(PolicyFault):
    """The code holds a picture as pixels, and its task refuses such code."""


class Tampering(PolicyFault):
    """The code reached for the reference, the judge or the sandbox instead of rendering. It is flagged as such."""


class InfrastructureError(VisualERMError):
    """Something failed that is not the policy's: it is retried, then recorded, and never costs the policy anything."""

    stage: str = ""
    """The stage of the path where it happened, as `boundary` names it; empty outside of one."""


class StageFailed(InfrastructureError):
    """A stage raised an exception that nobody expected, for example of OpenCV, Pillow or NumPy."""


class RendererUnavailable(InfrastructureError):
    """The browser or sandbox is missing, or died more often than it may."""


class ReferenceUnavailable(InfrastructureError):
    """The reference image is missing or cannot be read."""


class JudgeUnavailable(InfrastructureError):
    """No endpoint answered within the retries and time allowed."""


class JudgeUnreadable(InfrastructureError):
    """The judge answered, but its reply holds no report."""


class PolicyUnavailable(InfrastructureError):
    """No endpoint of the policy's servers answered within the retries and time allowed, or none with text."""


class ComparisonFailed(InfrastructureError):
    """A baseline's comparison took too long, or its process died."""


class TooManyFailures(InfrastructureError):
    """Too many recent samples have no score of their own. The run must stop rather than learn from noise."""


class RunInterrupted(VisualERMError):
    """The run ended before its last step without a failure. The same command continues from the last checkpoint."""


@contextlib.contextmanager
def boundary(stage: str) -> Iterator[None]:
    """Turns an exception that nobody expected into StageFailed, with its traceback in the log.

    Exceptions of this project pass through. An InfrastructureError learns its stage, unless it has one.

    Args:
        stage: Name of the stage, for example `judge`.

    Yields:
        Nothing.

    Raises:
        StageFailed: The block raised an exception that is not of this project.
    """
    try:
        yield
    except InfrastructureError as error:
        error.stage = error.stage or stage
        raise
    except VisualERMError:
        raise
    except Exception as error:
        log.error("%s failed unexpectedly\n%s", stage, printable(traceback.format_exc()))
        failed = StageFailed(f"{stage}: {type(error).__name__}: {error}")
        failed.stage = stage
        raise failed from error
