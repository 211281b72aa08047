"""The reward's shape: more severity never earns more, and drawing never earns less than not drawing."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from visual_erm.reward.scoring import DeferredReward, ScoredSample, batch_rewards, min_reward, reward
from visual_erm.spec.task import Scoring

severities = st.integers(0, 10_000)
positive = st.floats(0.01, 1e6)
fixed = st.builds(Scoring, mode=st.sampled_from(["fixed", "batch"]), s_max=positive, render_reward=st.floats(0, 100))
raw = st.builds(Scoring, mode=st.just("raw"), raw_minimum=st.floats(-1e6, 0))


@given(severities, severities, fixed | raw)
def test_more_severity_never_earns_more(one, other, scoring):
    better, worse = sorted((one, other))
    assert reward(better, scoring) >= reward(worse, scoring)


@given(severities, fixed | raw)
def test_a_image_however_wrong_never_earns_less_than_none(severity, scoring):
    assert reward(severity, scoring) >= min_reward(scoring)


@given(severities, fixed)
def test_fixed_pays_for_drawing_and_up_to_one_for_likeness(severity, scoring):
    assert scoring.render_reward <= reward(severity, scoring) <= scoring.render_reward + 1
    assert reward(0, scoring) == scoring.render_reward + 1
    assert reward(scoring.s_max, scoring) == scoring.render_reward
    assert min_reward(scoring) == 0


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
    ],
)
def test_settings_under_which_not_drawing_could_pay_are_refused(wrong):
    with pytest.raises(ValidationError):
        Scoring(**wrong)


# The batch's own S_max

SCORINGS = {
    "table": Scoring(mode="batch"),
    "chart": Scoring(mode="batch", render_reward=0.5, s_max=30),
    "svg": Scoring(mode="fixed", s_max=20),
}


@st.composite
def samples(draw):
    task = draw(st.sampled_from(list(SCORINGS)))
    severity, invalid = draw(st.floats(0, 1000)), draw(st.booleans())
    own_reward = min_reward(SCORINGS[task]) if invalid else reward(severity, SCORINGS[task])
    return ScoredSample(
        task, SCORINGS[task], severity, judged=invalid or draw(st.booleans()), invalid=invalid, own_reward=own_reward
    )


def judged(severity, task="table", **changes):
    facts = {"judged": True, "invalid": False, "own_reward": 7.0, **changes}
    return ScoredSample(task, SCORINGS[task], severity, **facts)


@given(st.lists(samples(), max_size=20))
def test_a_batch_is_the_papers_equation_3_for_each_task_of_its_own(batch):
    rewards = batch_rewards(batch)
    for sample, found in zip(batch, rewards, strict=True):
        if sample.task == "svg":
            assert found == sample.own_reward, "another mode: its own reward"
            continue
        others = [s.severity for s in batch if s.task == sample.task and s.judged and not s.invalid]
        s_max = max(others) if others else sample.scoring.s_max
        left = 1.0 if s_max == 0 else min(max(1 - sample.severity / s_max, 0), 1)
        assert found == (0 if sample.invalid else pytest.approx(sample.scoring.render_reward + left))


@given(st.lists(samples(), max_size=20), st.randoms())
def test_the_order_of_a_batch_does_not_matter_and_drawing_never_earns_less_than_not_drawing(batch, random):
    rewards = batch_rewards(batch)
    order = list(range(len(batch)))
    random.shuffle(order)
    assert batch_rewards([batch[place] for place in order]) == [rewards[place] for place in order]
    drawn = [found for sample, found in zip(batch, rewards, strict=True) if not sample.invalid]
    assert all(found >= 0 for found in drawn)


def test_a_batch_without_a_fault_earns_all_there_is():
    assert batch_rewards([judged(0), judged(0), judged(50, invalid=True)]) == [2, 2, 0]


def test_what_did_not_draw_or_lost_its_judgement_sets_no_scale_and_a_lost_judgement_is_no_punishment():
    batch = [judged(4), judged(8), judged(50, invalid=True), judged(6, judged=False), judged(90, judged=False)]
    assert batch_rewards(batch) == [1.5, 1, 0, 1.25, 1]
    assert batch_rewards([judged(0), judged(6, judged=False)]) == [2, 2]
    assert batch_rewards([judged(25, judged=False)]) == [1.5], "nothing judged: the task's own constant"


def test_tasks_of_a_mixture_have_each_their_own_scale():
    batch = [judged(40), judged(20), judged(4, "chart"), judged(1, "chart"), judged(10, "svg")]
    assert batch_rewards(batch) == [1, 1.5, 0.5, 1.25, 7]


def test_a_provisional_reward_is_a_number_and_stays_what_it_is_between_processes():
    one = DeferredReward(judged(3, own_reward=1.94))
    assert (one, one + 1) == (1.94, 2.94)
    assert pickle.loads(pickle.dumps(one)).sample == one.sample
