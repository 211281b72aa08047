"""The reward's shape: more severity never earns more, and drawing never earns less than not drawing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from visual_erm.score import minimum, reward
from visual_erm.task import Scoring

severities = st.integers(0, 10_000)
positive = st.floats(0.01, 1e6)
fixed = st.builds(Scoring, mode=st.just("fixed"), s_max=positive, render_reward=st.floats(0, 100))
raw = st.builds(Scoring, mode=st.just("raw"), raw_minimum=st.floats(-1e6, 0))


@given(severities, severities, fixed | raw)
def test_more_severity_never_earns_more(one, other, scoring):
    better, worse = sorted((one, other))
    assert reward(better, scoring) >= reward(worse, scoring)


@given(severities, fixed | raw)
def test_a_picture_however_wrong_never_earns_less_than_none(severity, scoring):
    assert reward(severity, scoring) >= minimum(scoring)


@given(severities, fixed)
def test_fixed_pays_for_drawing_and_up_to_one_for_likeness(severity, scoring):
    assert scoring.render_reward <= reward(severity, scoring) <= scoring.render_reward + 1
    assert reward(0, scoring) == scoring.render_reward + 1
    assert reward(scoring.s_max, scoring) == scoring.render_reward
    assert minimum(scoring) == 0


@given(severities, raw)
def test_raw_is_the_severity_itself_down_to_its_floor(severity, scoring):
    assert reward(severity, scoring) == (-severity if -severity > scoring.raw_minimum else scoring.raw_minimum)
    assert reward(0, scoring) == 0


@pytest.mark.parametrize(("severity", "expected"), [(0, 2.0), (5, 1.9), (25, 1.5), (50, 1.0), (51, 1.0)])
def test_the_papers_figures(severity, expected):
    assert reward(severity, Scoring(mode="fixed", s_max=50, render_reward=1)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "fixed", "s_max": 0},
        {"mode": "fixed", "s_max": float("inf")},
        {"mode": "fixed", "render_reward": -1},
        {"mode": "raw", "raw_minimum": 1},
        {"mode": "raw", "raw_minimum": float("nan")},
        {"mode": "batch"},
    ],
)
def test_settings_under_which_not_drawing_could_pay_are_refused(wrong):
    with pytest.raises(ValidationError):
        Scoring(**wrong)
