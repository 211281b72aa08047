"""`agent=refine` before a run: what is wrong with its settings, and whether its answers have room."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from runs import Run, row, write

pytestmark = pytest.mark.long

REFINE = ("agent=refine", "data.max_response_length=1024", "agent.feedback_length=512")
LOOPS = "actor_rollout_ref.rollout.agent"


def test_one_answer_is_the_default_and_asks_for_nothing(good: Run):
    outcome = good.look("agent")
    assert (outcome.ok, outcome.notes) == (True, ("one answer per rollout",))
    assert good.look("answers fit").notes == ()


def test_two_answers_are_well(good: Run):
    assert good.look("agent", *REFINE).notes == ("2 answers per rollout, rewarded by the best",)
    assert good.look("answers fit", *REFINE).notes == ("256 tokens each, 512 between them",)
    for title in ("agent", "answers fit", "veRL's settings", "veRL's own validation", "sequences fit"):
        outcome = good.look(title, *REFINE)
        assert (outcome.ok, outcome.warnings) == (True, ()), title
    config = good.case(*REFINE).config
    assert config.actor_rollout_ref.rollout.agent.agent_loop_config_path.startswith("/"), "workers start elsewhere"


@pytest.mark.parametrize(
    ("words", "key", "what"),
    [
        (["agent.turns=1"], "agent", "`turns`.*greater than or equal to 2"),
        (["agent.turns=two"], "agent", "`turns`.*valid integer"),
        (["agent.reward=first"], "agent", "`reward`.*'best' or 'last'"),
        (["agent.threshold=high"], "agent", "`threshold`.*valid number"),
        (["agent.feedback_length=10"], "agent", "`feedback_length`.*greater than or equal to 64"),
        (["agent.name=debate"], "agent", "`name`.*'refine'"),
        (["+agent.turn=3"], "agent", "unknown key|did you mean"),
        (["reward=ssim"], "agent", "shows the policy a report"),
        (["reward=teds"], "agent", "shows the policy a report"),
        ([f"{LOOPS}.default_agent_loop=tool_agent"], "default_agent_loop", "no answer would be revised"),
        ([f"{LOOPS}.agent_loop_config_path=gone.yaml"], "agent_loop_config_path", "names no file"),
        ([f"{LOOPS}.agent_loop_config_path=null"], "agent_loop_config_path", "names no file"),
        (["+actor_rollout_ref.rollout.limit_images=1"], "limit_images", "1, but a rollout has a reference and 1 renders"),
        (["+actor_rollout_ref.rollout.limit_images=2", "agent.turns=3"], "limit_images", "a reference and 2 renders"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_key(good: Run, words: list[str], key: str, what: str):
    problems = good.look("agent", *REFINE, "data.max_response_length=4096", *words).problems
    assert any(key in problem.key and re.search(what, problem.what) for problem in problems), problems


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["data.max_response_length=512"], 514),
        (["data.max_response_length=64"], 514),
        (["agent.turns=3"], 1027),
        (["agent.feedback_length=1024"], 1026),
    ],
)
def test_a_response_must_hold_all_answers_and_what_is_between_them(good: Run, words: list[str], needed: int):
    (problem,) = good.look("agent", *REFINE, *words).problems
    assert problem.key == "data.max_response_length"
    assert "agent.feedback_length=" in problem.what
    assert problem.fix == f"give {needed} or more, or lower agent.feedback_length or agent.turns"
    enough = [*words, f"data.max_response_length={needed}"]
    assert good.look("agent", *REFINE, *enough).ok


def test_an_answer_must_be_able_to_be_a_ground_truth(run_copy: Run):
    truth = {"style": "model", "ground_truth": "<table>" + "<tr><td>1</td></tr>" * 40 + "</table>"}
    write(run_copy.folder / "train.parquet", [*(row(index) for index in range(7)), row(7, reward_model=truth)])
    (problem,) = run_copy.look("answers fit", *REFINE).problems
    assert problem.key == "data.max_response_length"
    assert "ground truth of" in problem.what and "row 7" in problem.what
    needed = int(problem.fix.split()[1])
    assert run_copy.look("answers fit", *REFINE, f"data.max_response_length={needed}").ok
    assert not run_copy.look("answers fit", *REFINE, f"data.max_response_length={needed - 2}").ok


def test_a_render_should_be_seen_as_large_as_its_reference(good: Run):
    # The image has 6 tokens, and its message a dozen more.
    assert good.look("answers fit", *REFINE, "agent.feedback_length=64").warnings == ()
    context = good.case(*REFINE)
    assert context.verl_check.count_image_tokens(Image.new("RGB", (96, 64))) < 32
    assert context.verl_check.count_image_tokens(Image.new("RGB", (256, 256))) > 64


def test_large_images_are_told_with_the_room_that_they_need(run_copy: Run):
    content = io.BytesIO()
    Image.new("RGB", (256, 256), "white").save(content, "PNG")
    large = [{"bytes": content.getvalue(), "path": None}]
    write(run_copy.folder / "train.parquet", [row(index, images=large) for index in range(8)])
    (warning,) = run_copy.look("answers fit", *REFINE, "agent.feedback_length=100", "data.max_prompt_length=256").warnings
    assert warning.key == "agent.feedback_length"
    needed = int(warning.fix.split()[1].rstrip(","))
    enough = (f"agent.feedback_length={needed}", "data.max_prompt_length=256")
    assert run_copy.look("answers fit", *REFINE, *enough).warnings == ()


def test_rows_that_name_a_loop_of_their_own_are_told(run_copy: Run):
    write(run_copy.folder / "train.parquet", [row(index, agent_name="single_turn_agent") for index in range(8)])
    (problem,) = run_copy.look("agent", *REFINE).problems
    assert (problem.key, "column `agent_name`" in problem.what) == ("data.train_files", True)
    assert run_copy.look("agent").ok


@pytest.mark.parametrize("mode", ["sync", "offline"])
def test_the_rollout_must_be_the_server_that_veRL_asks(good: Run, mode: str):
    (problem,) = good.look("agent", *REFINE, f"actor_rollout_ref.rollout.mode={mode}").problems
    assert (problem.key, problem.fix) == ("actor_rollout_ref.rollout.mode", "give async")
