"""Every exception of the path has an outcome, and every outcome says what it means."""

from __future__ import annotations

import inspect
import re

import pytest

from visual_erm import errors
from visual_erm.reward import outcome
from visual_erm.reward.outcome import Outcome

FAULTS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.PolicyFault | errors.InfrastructureError)
]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_exception_has_the_outcome_of_its_side(fault: type[Exception]) -> None:
    policys = {Outcome.NO_CODE, Outcome.RENDER_FAILED, Outcome.RENDER_LIMIT, Outcome.BLANK, Outcome.TAMPERING}
    policys |= {Outcome.ILLEGIBLE, Outcome.REJECTED}
    assert (Outcome.of(fault("why")) in policys) == issubclass(fault, errors.PolicyFault)


def test_numbers_are_one_for_the_outcome_and_zero_for_the_others() -> None:
    numbers = Outcome.NO_CODE.numbers()
    assert len(numbers) == len(Outcome) and sum(numbers.values()) == numbers["outcome_no_code"] == 1


def test_every_outcome_has_a_sentence() -> None:
    source = inspect.getsource(outcome.Outcome)
    assert len(re.findall(r'^    [A-Z_]+ = "\w+"\n    """[A-Z]', source, re.MULTILINE)) == len(Outcome)
