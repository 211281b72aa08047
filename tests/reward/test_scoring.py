"""The reward's shape: more severity never earns more, and drawing never earns less than not drawing."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from visual_erm.reward.scoring import (
    MIN_PARTS,
    DeferredReward,
    ScoredSample,
    batch_rewards,
    max_severity,
    min_reward,
    on_task_scale,
    reward,
    scale_of,
)
from visual_erm.spec.task import Scoring

severities = st.integers(0, 10_000)
positive = st.floats(0.01, 1e6)
fixed = st.builds(
    Scoring, mode=st.sampled_from(["fixed", "batch", "relative"]), s_max=positive, render_reward=st.floats(0, 100)
)
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
        {"mode": "batch", "batch_cap": 0},
        {"mode": "batch", "batch_quantile": 0},
        {"mode": "batch", "batch_quantile": 1.01},
    ],
)
def test_settings_under_which_not_drawing_could_pay_are_refused(wrong):
    with pytest.raises(ValidationError):
        Scoring(**wrong)


# The scale of the reference

relative = Scoring(mode="relative", s_max=50)


@pytest.mark.parametrize(("parts", "scale"), [(30, 90), (MIN_PARTS, 12), (1, 12), (0, 50)])
def test_the_relative_scale_is_that_of_the_references_parts_or_the_tasks_constant(parts, scale):
    assert scale_of(relative, parts) == scale
    assert reward(scale / 2, relative, scale_of(relative, parts)) == 1.5
    assert reward(scale, relative, scale_of(relative, parts)) == 1


@pytest.mark.parametrize("mode", ["fixed", "batch", "raw"])
def test_other_modes_do_not_look_at_the_reference(mode):
    scoring = Scoring(mode=mode, s_max=40, raw_minimum=-40)
    assert [scale_of(scoring, parts) for parts in (0, 3, 900)] == [40, 40, 40]


@given(severities, severities, st.integers(0, 5000))
def test_more_severity_never_earns_more_on_any_scale(one, other, parts):
    scale = scale_of(relative, parts)
    better, worse = sorted((one, other))
    assert 1 <= reward(worse, relative, scale) <= reward(better, relative, scale) <= 2


@given(severities, st.integers(0, 5000))
def test_what_counts_as_so_much_of_the_tasks_scale_earns_the_same(severity, parts):
    scale = scale_of(relative, parts)
    here = on_task_scale(severity, scale, relative)
    assert reward(here, relative) == pytest.approx(reward(severity, relative, scale))
    assert on_task_scale(severity, max_severity(relative), relative) == severity


def test_a_scale_of_nothing_divides_nothing():
    nothing = Scoring(mode="raw", raw_minimum=0)
    assert on_task_scale(7, scale_of(nothing), nothing) == 7
    assert reward(7, nothing, scale_of(nothing)) == 0


# The batch's own S_max

PAPER = {"mode": "batch", "batch_cap": None, "batch_quantile": 1}
SCORINGS = {
    "table": Scoring(**PAPER),
    "chart": Scoring(**PAPER, render_reward=0.5, s_max=30),
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


def judged(severity, task="table", scoring=None, **changes):
    facts = {"judged": True, "invalid": False, "own_reward": 7.0, **changes}
    return ScoredSample(task, scoring or SCORINGS[task], severity, **facts)


def batch_of(severities, scoring):
    return batch_rewards([judged(severity, scoring=scoring) for severity in severities])


@given(st.lists(samples(), max_size=20))
def test_a_batch_is_the_papers_equation_3_for_each_task_of_its_own(batch):
    rewards = batch_rewards(batch)
    for sample, found in zip(batch, rewards, strict=True):
        if sample.task == "svg":
            assert found == sample.own_reward, "another mode: its own reward"
            continue
        others = [s.severity for s in batch if s.task == sample.task and s.judged and not s.invalid]
        s_max = max(others, default=0)

        def left(severity, s_max=s_max):
            return 1.0 if s_max == 0 else min(max(1 - severity / s_max, 0), 1)

        if sample.invalid:
            assert found == 0
        elif sample.judged or others:
            mean = sum(map(left, others)) / len(others)
            visual = left(sample.severity) if sample.judged else mean
            assert found == pytest.approx(sample.scoring.render_reward + visual)
        else:
            assert found == sample.own_reward, "nothing judged: the neutral one"


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
    assert batch_rewards(batch) == [1.5, 1, 0, 1.25, 1.25], "the mean of those that were judged"
    assert batch_rewards([judged(0), judged(6, judged=False)]) == [2, 2]
    assert batch_rewards([judged(25, judged=False, own_reward=1.5)]) == [1.5], "nothing judged: the neutral one"


def test_tasks_of_a_mixture_have_each_their_own_scale():
    batch = [judged(40), judged(20), judged(4, "chart"), judged(1, "chart"), judged(10, "svg")]
    assert batch_rewards(batch) == [1, 1.5, 0.5, 1.25, 7]


@pytest.mark.parametrize("worst", [200, 9000, 1e9])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_one_broken_sample_does_not_make_all_others_equal(worst, order):
    severities = [0, 5, 10, worst]
    capped, paper = Scoring(mode="batch"), Scoring(**PAPER)
    shares = [batch_of([severities[place] for place in order], scoring) for scoring in (capped, paper)]
    assert [shares[0][order.index(place)] for place in range(4)] == pytest.approx([2, 1.975, 1.95, 1])
    assert shares[1][order.index(2)] == pytest.approx(2 - 10 / worst), "the paper's formula is kept as it is"


@pytest.mark.parametrize(
    ("quantile", "expected"),
    [
        (1, [2, 1.95, 1.9, 1.85, 1]),
        (0.8, [2, 1 + 2 / 3, 1 + 1 / 3, 1, 1]),
        (0.5, [2, 1.5, 1, 1, 1]),
        (0.01, [2, 1, 1, 1, 1]),
    ],
)
def test_a_robust_maximum_leaves_the_worst_out(quantile, expected):
    scoring = Scoring(mode="batch", batch_quantile=quantile)
    assert batch_of([0, 10, 20, 30, 9000], scoring) == pytest.approx(expected)


def test_tasks_have_each_their_own_cap():
    small, large = Scoring(mode="batch", batch_cap=20), Scoring(mode="batch", batch_cap=100)
    tables = [judged(9000, scoring=small), judged(10, scoring=small)]
    charts = [judged(9000, "chart", scoring=large), judged(10, "chart", scoring=large)]
    assert batch_rewards([*tables, *charts]) == pytest.approx([1, 1.5, 1, 1.9])


@pytest.mark.parametrize(("others", "floored"), [([0, 8], 1.6), ([0, 100], 1.6), ([0, 0], 1.6), ([], 1.6)])
def test_a_guards_floor_follows_the_scale_of_the_batch_and_does_not_set_it(others, floored):
    """A floor of 0.4 is severity 20 by itself. In the batch it is 0.4 of whatever the largest severity is."""
    scoring = Scoring(mode="batch")
    found = batch_rewards([judged(s, scoring=scoring) for s in others] + [judged(0, scoring=scoring, floor=0.4)])
    assert found[-1] == pytest.approx(floored)
    assert found[:-1] == batch_of(others, scoring)


@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.booleans(), st.booleans()), max_size=12),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
    st.floats(0, 0.5),
    st.none() | st.floats(0.01, 1e4),
    st.floats(0.01, 1),
)
def test_more_severity_never_earns_more_in_any_batch(others, one, other, floor, cap, quantile):
    scoring = Scoring(mode="batch", batch_cap=cap, batch_quantile=quantile)
    batch = [judged(s, scoring=scoring, judged=is_judged, invalid=invalid) for s, is_judged, invalid in others]
    better, worse = sorted((one, other))
    kind = batch_rewards([*batch, judged(better, scoring=scoring, floor=floor)])[-1]
    harsh = batch_rewards([*batch, judged(worse, scoring=scoring, floor=floor)])[-1]
    assert 1 <= harsh <= kind <= 2


def test_a_provisional_reward_is_a_number_and_stays_what_it_is_between_processes():
    one = DeferredReward(judged(3, own_reward=1.94))
    assert (one, one + 1) == (1.94, 2.94)
    assert pickle.loads(pickle.dumps(one)).sample == one.sample
