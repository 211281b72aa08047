"""Which of several answers is rewarded, and what the rollout's numbers and its line say."""

from __future__ import annotations

import pytest
from PIL import Image

from visual_erm.reward.turns import Turn, Turns


def turn(score: float, scored: bool = True, **numbers: float) -> Turn:
    return Turn(
        f"reply {score:g}",
        {
            "score": score,
            "scored_ok": float(scored),
            "severity": 10 - score,
            "judge_calls": 1.0,
            "render_ms": 4.0,
            **numbers,
        },
        {"outcome": "scored" if scored else "judge_unavailable", "report": {"errors": []}},
        f"told {score:g}",
        Image.new("RGB", (4, 4)),
    )


@pytest.mark.parametrize(
    ("scores", "best", "last"),
    [
        ((1.0, 2.0), 2, 2),
        ((2.0, 1.0), 1, 2),
        ((1.0, 1.0), 1, 2),
        ((0.5, 1.5, 1.0), 2, 3),
        ((-9.0, -50.0, -9.0), 1, 3),
        ((1.0,), 1, 1),
    ],
)
def test_the_best_answer_is_the_first_of_the_highest_reward_and_the_last_is_the_last(scores, best, last):
    turns = tuple(turn(score) for score in scores)
    for rule, number in (("best", best), ("last", last)):
        ended = Turns(turns, rule)
        assert ended.rewarded is turns[number - 1]
        numbers = ended.numbers()
        assert (numbers["refine_rewarded_turn"], numbers["refine_turns"]) == (number, len(scores))
        assert (numbers["score"], numbers["severity"]) == (scores[number - 1], 10 - scores[number - 1])
        assert (numbers["refine_first_score"], numbers["refine_last_score"]) == (scores[0], scores[-1])


@pytest.mark.parametrize(
    ("turns", "best", "last"),
    [
        # A neutral reward is nobody's merit: it does not win by being high.
        ([(0.5, True), (1.2, False)], 1, 2),
        ([(0.5, True), (0.2, True), (1.2, False)], 1, 3),
        ([(1.2, False)], 1, 1),
        ([(1.3, False), (1.2, False)], 2, 2),
    ],
)
def test_a_failure_of_the_infrastructure_is_not_the_best_answer(turns, best, last):
    turns = tuple(turn(score, scored) for score, scored in turns)
    assert Turns(turns, "best").rewarded is turns[best - 1]
    assert Turns(turns, "last").rewarded is turns[last - 1]
    assert Turns(turns, "best").numbers()["scored_ok"] == float(any(one.scored for one in turns))


def test_the_cost_is_that_of_all_answers():
    numbers = Turns((turn(2.0, guard_blank=0.0), turn(1.0, guard_blank=1.0), turn(0.0, guard_blank=1.0)), "best").numbers()
    assert (numbers["judge_calls"], numbers["render_ms"], numbers["guard_blank"]) == (3, 12, 0)


def test_the_line_of_the_log_has_every_answer_without_its_image():
    ended = Turns((turn(2.0).logged(shown=True), turn(1.0).logged(shown=False)), "best")
    details = ended.details()
    assert details["outcome"] == "scored"
    first, last = details["turns"]
    assert first == {"reply": "reply 2", "score": 2.0, "outcome": "scored", "report": {"errors": []}, "feedback": "told 2"}
    assert "feedback" not in last, "nobody was told it"
    assert all(one.image is None for one in ended.turns)
