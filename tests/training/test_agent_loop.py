"""The agent loop by itself: a scripted policy, and veRL's own reward manager and tokens. What is masked, and why."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("verl")

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap
from verl.utils import hf_processor, hf_tokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.workers.rollout.replica import TokenOutput

from visual_erm.errors import ConfigError, TooManyFailures
from visual_erm.pipeline import RewardPipeline
from visual_erm.reward.report import Discrepancy, Report
from visual_erm.reward.turns import ASKED, ENDED, Turn
from visual_erm.spec.base import shipped
from visual_erm.spec.task import load_task
from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl
from visual_erm.training import refine_loop
from visual_erm.training.refine_loop import RefineLoop, like, shorten
from visual_erm.training.verl_internals import NaiveRewardManager

pytestmark = pytest.mark.long

TASK = Path(__file__).parents[1] / "kinds" / "shapes.yaml"
CODE = "circle 20 20 10 red\nsquare 44 44 8 blue"
GOOD, HALF, BAD, NONE = (
    f"```shapes\n{CODE}\n```",
    "```shapes\ncircle 20 20 10 red\n```",
    "```shapes\nhexagon\n```",
    "I see.",
)
CUT, OTHER_END = "<cut>", "<|endoftext|>"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("model")
    words = [CODE, "```shapes", *(file.read_text() for file in (shipped("configs") / "refine" / "prompts").iterdir())]
    build_tiny_qwen3vl(folder, words=words)
    return SimpleNamespace(tokenizer=hf_tokenizer(str(folder)), processor=hf_processor(str(folder)))


@pytest.fixture(scope="module")
def reference() -> Image.Image:
    task = load_task(TASK)
    return task.render.renderer_class(task.render, 1, False)._draw(CODE)


class Policy:
    """A rollout server that writes what it is told to."""

    def __init__(self, tokenizer: Any, answers: Sequence[str], log_probs: bool = True) -> None:
        self.tokenizer, self.answers, self.log_probs = tokenizer, iter(answers), log_probs
        self.asked: list[dict[str, Any]] = []
        self.written: list[list[int]] = []

    async def generate(self, **asked: Any) -> TokenOutput:
        self.asked.append({**asked, "prompt_ids": list(asked["prompt_ids"]), "image_data": list(asked["image_data"] or [])})
        answer = next(self.answers)
        end = [] if answer.endswith(CUT) else [self.tokenizer.eos_token_id]
        if answer.endswith(OTHER_END):
            end = []
        tokens = self.tokenizer.encode(answer.removesuffix(CUT)) + end
        self.written.append(tokens)
        step = len(self.asked)
        return TokenOutput(
            token_ids=tokens,
            log_probs=[-float(step)] * len(tokens) if self.log_probs else None,
            num_preempted=0,
            extra_fields={"global_steps": 6 + step, "min_global_steps": 6 + step, "max_global_steps": 6 + step},
        )


class Worker:
    """A reward worker in this process: `compute_score` as a method of a Ray actor."""

    def __init__(self, run_single: Callable[[Any], Any]) -> None:
        self.compute_score = SimpleNamespace(remote=run_single)


class Rehearsal:
    """One rollout: its loop, with a policy, and a reward worker with veRL's manager and this project's reward."""

    def __init__(
        self, model: SimpleNamespace, reference: Image.Image, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.model, self.reference, self.monkeypatch = model, reference, monkeypatch
        self.log = folder / "rollout_log"
        file = folder / "reference.png"
        reference.save(file)
        self.extra_info = {"index": 3, "split": "train", "reference": {"path": str(file)}, "validate": False}

    async def write(
        self, answers: Sequence[str], run_single: Callable[[Any], Any] | None = None, *, manager: Any = NaiveRewardManager,
        response_length: int = 2048, log_probs: bool = True, judge: Any = "local", **agent: Any,
    ) -> AgentLoopOutput:  # fmt: skip
        from importlib.util import module_from_spec, spec_from_file_location

        config = OmegaConf.create(
            {
                "actor_rollout_ref": {"rollout": {"response_length": response_length, "prompt_length": 512}},
                "reward": {"num_workers": 1, "custom_reward_function": {"reward_kwargs": {"task": str(TASK)}}},
                "data": {},
                "agent": {"name": "refine", "turns": 2, "feedback_length": 640, **agent},
            }
        )
        close = None
        if run_single is None:
            spec = spec_from_file_location("reward_of_refine", shipped("reward_func") / "visual_equivalence.py")
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            close = module.close
            settings = {"task": str(TASK), "judge": judge, "rollout_log": str(self.log), "allow_outside_data_root": True}
            scored = functools.partial(module.compute_score, **settings)
            run_single = manager(config, self.model.tokenizer, scored).run_single
        self.monkeypatch.setattr(refine_loop, "_reward_workers", lambda count: (Worker(run_single),))
        self.policy = Policy(self.model.tokenizer, answers, log_probs)
        loop = RefineLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=self.policy,
            tokenizer=self.model.tokenizer,
            processor=self.model.processor,
            dataset_cls=RLHFDataset,
            data_config=DictConfigWrap(config.data),
            hf_model_type="qwen3_vl",
            name="refine",
            tools=None,
        )
        content = [{"type": "image", "image": self.reference}, {"type": "text", "text": "Write the shapes."}]
        self.prompt = [{"role": "user", "content": content}]
        try:
            return await loop.run(
                {"temperature": 1.0, "logprobs": log_probs},
                raw_prompt=self.prompt,
                data_source="shapes",
                reward_model={"ground_truth": CODE},
                extra_info=self.extra_info,
                priority=np.int64(5),
            )
        finally:
            if close:
                await close()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for file in self.log.glob("*.jsonl") for line in file.read_text().splitlines()]

    def decoded(self, output: AgentLoopOutput, mask: int) -> list[str]:
        """The stretches of the response with that mask, as text."""
        pairs = zip(output.response_mask, output.response_ids, strict=True)
        return [
            self.model.tokenizer.decode([token for _, token in stretch])
            for value, stretch in itertools.groupby(pairs, key=lambda pair: pair[0])
            if value == mask
        ]


@pytest.fixture
def rehearsal(model, reference, tmp_path, monkeypatch) -> Rehearsal:
    return Rehearsal(model, reference, tmp_path, monkeypatch)


# --- what is trained on


@pytest.mark.parametrize(
    ("answers", "images"),
    [
        ([HALF, GOOD], 2),
        ([NONE, GOOD], 1),
        ([BAD, HALF], 1),
        ([GOOD, NONE], 2),
        ([HALF + CUT, GOOD], 2),
        ([HALF, GOOD + CUT], 2),
        ([HALF + OTHER_END, GOOD], 2),
        ([NONE, HALF, GOOD], 2),
        ([HALF, HALF + CUT, GOOD, NONE], 4),
    ],
)
async def test_only_what_the_policy_wrote_is_trained_on(rehearsal, answers, images):
    output = await rehearsal.write(answers, turns=len(answers), response_length=4096)
    trained = [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if mask]
    assert trained == [token for tokens in rehearsal.policy.written for token in tokens]
    told = rehearsal.decoded(output, 0)
    assert len(told) == len(answers) - 1
    for text, turn in zip(told, rehearsal.lines()[0]["turns"], strict=False):
        assert turn["feedback"] in text
        assert text.endswith("<|im_start|>assistant\n")
        assert ("<|image_pad|>" in text) == (turn["report"] is not None), "a render is shown where there is one"
    image = rehearsal.model.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert image not in trained
    assert len(output.multi_modal_data["images"]) == images
    # As many places in the tokens as the images have patches: the update would fail otherwise.
    grids = rehearsal.model.processor.image_processor(images=output.multi_modal_data["images"], return_tensors="pt")
    places = [*output.prompt_ids, *output.response_ids].count(image)
    assert places == int(grids["image_grid_thw"].prod(dim=1).sum()) // 4


@pytest.mark.parametrize("answers", [[HALF, GOOD], [NONE, GOOD], [BAD, BAD, HALF], [HALF + CUT, GOOD]])
async def test_the_sequence_is_the_conversation_as_the_policys_template_writes_it(rehearsal, answers):
    output = await rehearsal.write(answers, turns=len(answers))
    messages, images = list(rehearsal.prompt), iter(output.multi_modal_data["images"][1:])
    for answer, turn in zip(answers, rehearsal.lines()[0]["turns"], strict=True):
        messages.append({"role": "assistant", "content": answer.removesuffix(CUT)})
        if feedback := turn.get("feedback"):
            shown = [{"type": "image", "image": next(images)}] if turn["report"] else []
            messages.append({"role": "user", "content": [*shown, {"type": "text", "text": feedback}]})
    text = rehearsal.model.processor.apply_chat_template(messages, tokenize=False).removesuffix("\n")
    whole = rehearsal.model.processor(text=[text], images=output.multi_modal_data["images"])
    assert [*output.prompt_ids, *output.response_ids] == list(whole["input_ids"][0])


async def test_the_policy_is_asked_with_all_that_was_written_and_with_every_image_so_far(rehearsal):
    output = await rehearsal.write([HALF, GOOD], response_length=1640)
    first, second = rehearsal.policy.asked
    whole = [*output.prompt_ids, *output.response_ids]
    assert first["prompt_ids"] == output.prompt_ids
    assert whole[: len(second["prompt_ids"])] == second["prompt_ids"]
    assert (len(first["image_data"]), len(second["image_data"])) == (1, 2)
    assert first["request_id"] == second["request_id"], "one server keeps the prefix"
    assert [asked["sampling_params"]["max_tokens"] for asked in (first, second)] == [500, 500]
    assert (first["priority"], output.num_turns) == (5, 4)


@pytest.mark.parametrize("answers", [[HALF, GOOD], [HALF + CUT, GOOD], [NONE + CUT, BAD + CUT, GOOD]])
async def test_log_probabilities_stand_beside_the_tokens_that_they_are_of(rehearsal, answers):
    output = await rehearsal.write(answers, turns=len(answers), response_length=4096)
    expected = [[-float(i)] * len(tokens) for i, tokens in enumerate(rehearsal.policy.written, 1)]
    found = [score for score, mask in zip(output.response_logprobs, output.response_mask, strict=True) if mask]
    assert found == [score for scores in expected for score in scores]
    assert {score for score, mask in zip(output.response_logprobs, output.response_mask, strict=True) if not mask} == {0.0}
    without = await rehearsal.write(answers, turns=len(answers), response_length=4096, log_probs=False)
    assert without.response_logprobs is None
    assert without.response_mask == output.response_mask


# --- what is rewarded, and what the log says


@pytest.mark.parametrize(
    ("answers", "agent", "reward", "turns"),
    [
        ([HALF, GOOD], {"reward": "best"}, 2.0, 2),
        ([GOOD, HALF], {"reward": "best"}, 2.0, 2),
        ([GOOD, HALF], {"reward": "last"}, 1.75, 2),
        ([GOOD, NONE], {"reward": "last"}, 0.0, 2),
        ([NONE, NONE], {"reward": "best"}, 0.0, 2),
        ([GOOD], {"reward": "last", "threshold": 2}, 2.0, 1),
        ([HALF], {"reward": "best", "threshold": 1.75, "turns": 3}, 1.75, 1),
        ([NONE, HALF, GOOD], {"reward": "last", "threshold": 2, "turns": 4}, 2.0, 3),
    ],
)
async def test_a_rollout_gets_the_reward_of_its_best_or_last_answer_and_one_line(rehearsal, answers, agent, reward, turns):
    output = await rehearsal.write(answers, response_length=4096, **agent)
    numbers = output.extra_fields["reward_extra_info"]
    assert (output.reward_score, numbers["score"], numbers["refine_turns"]) == (reward, reward, turns)
    assert output.as_dict()["rm_scores"].tolist() == [*[0.0] * (len(output.response_ids) - 1), reward]
    assert all(isinstance(value, float) for value in numbers.values()), "veRL logs each"
    (line,) = rehearsal.lines()
    assert (line["index"], line["validate"], line["score"]) == (3, False, reward)
    # The first answer's version of the policy; the run ledger finds the step by it.
    assert line["policy_updates"] == 7
    assert (output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]) == (7, 6 + turns)
    assert [turn["reply"] for turn in line["turns"]] == answers
    assert line["reply"] == answers[int(numbers["refine_rewarded_turn"]) - 1]
    assert [turn["score"] for turn in line["turns"]] == output.extra_fields["turn_scores"]


async def test_the_manager_that_normalises_a_batch_scores_answers_too(rehearsal):
    from reward_func.batch_manager import BatchRewardManager

    output = await rehearsal.write([NONE, HALF], manager=BatchRewardManager)
    assert float(output.reward_score) == output.extra_fields["reward_extra_info"]["score"] == 1.75
    assert output.as_dict()["rm_scores"][-1] == 1.75
    assert len(rehearsal.lines()) == 1


async def test_a_row_keeps_its_own_extra_info(rehearsal):
    before = dict(rehearsal.extra_info)
    await rehearsal.write([HALF, GOOD])
    assert rehearsal.extra_info == before


@pytest.mark.parametrize("failing", [1, 2, 3])
async def test_an_answer_that_could_not_be_judged_ends_the_rollout_and_does_not_count(rehearsal, monkeypatch, failing):
    """The judge fails at one call. The rollout's reward is neutral only if no answer has one of its own."""
    from visual_erm.errors import JudgeUnavailable
    from visual_erm.judge.local.judge import LocalJudge

    calls, judge = itertools.count(1), LocalJudge.judge

    async def sometimes(self, *arguments):
        if next(calls) == failing:
            raise JudgeUnavailable("no endpoint answers")
        return await judge(self, *arguments)

    monkeypatch.setattr(LocalJudge, "judge", sometimes)
    output = await rehearsal.write([HALF, GOOD, HALF], turns=3, response_length=4096)
    numbers = output.extra_fields["reward_extra_info"]
    (line,) = rehearsal.lines()
    assert (numbers["refine_turns"], len(line["turns"])) == (failing, failing)
    assert line["turns"][-1]["outcome"] == "judge_unavailable"
    assert (numbers["scored_ok"], numbers["score"]) == [(0.0, 1.5), (1.0, 1.75), (1.0, 2.0)][failing - 1]
    last = await rehearsal.write([GOOD], turns=3, threshold=2)
    assert last.extra_fields["reward_extra_info"]["scored_ok"] == 1


async def test_too_many_failures_stop_the_run_as_with_one_answer(rehearsal, monkeypatch):
    from visual_erm.errors import JudgeUnavailable
    from visual_erm.judge.local.judge import LocalJudge

    async def never(self, *arguments):
        raise JudgeUnavailable("no endpoint answers")

    monkeypatch.setattr(LocalJudge, "judge", never)
    judge = {"kind": "local", "failure": {"window": 4, "max_failure_share": 0.0}}
    with pytest.raises(TooManyFailures):
        await rehearsal.write([HALF, GOOD], judge=judge)
    assert "TooManyFailures" in (rehearsal.log / "abort_reason.txt").read_text()
    assert rehearsal.lines() == []


# --- what does not fit, and what is odd


def scripted(turns: Sequence[Turn]) -> Callable[[Any], Any]:
    """A reward worker that says these turns."""
    left = iter(turns)

    async def run_single(data: Any) -> dict[str, Any]:
        extra = data[0].non_tensor_batch["tool_extra_fields"]
        if ENDED in extra:
            numbers = extra[ENDED].numbers()
        else:
            turn = next(left)
            numbers = {**turn.numbers, ASKED: turn}
        return {"reward_score": numbers["score"], "reward_extra_info": numbers}

    return run_single


def told(text: str, image: Image.Image | None = None) -> list[Turn]:
    numbers = {"score": 1.0, "scored_ok": 1.0}
    return [Turn("a", numbers, {}, text, image), Turn("b", numbers, {}, "done")]


LONG = "\n".join(["What is wrong:", *(f"- {number}: {'x' * 20}" for number in range(200)), "", "Write it again."])


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("short", (96, 96), True),
        ("short", (3000, 2500), True),
        ("short", (4000, 3), True),
        ("short", (1, 900), True),
        (LONG, (96, 96), True),
        (LONG, (2000, 40), True),
        (LONG, None, False),
        ("x" * 5000, (64, 64), True),
    ],
)
@pytest.mark.parametrize("limit", [96, 300])
async def test_a_report_and_a_render_of_any_size_fit_between_two_answers(rehearsal, text, size, shown, limit):
    image = Image.new("RGB", size, "white") if size else None
    output = await rehearsal.write(["a", "b"], scripted(told(text, image)), feedback_length=limit)
    between = output.response_mask.count(0)
    assert between <= limit
    (words,) = rehearsal.decoded(output, 0)
    assert ("<|image_pad|>" in words) == shown
    assert len(output.multi_modal_data["images"]) == 1 + shown
    if text == LONG:
        assert "Write it again." in words
        assert "- 0: " in words or limit == 96
    if shown:
        assert output.multi_modal_data["images"][1].width * output.multi_modal_data["images"][1].height <= 2 * 96 * 96


@pytest.mark.parametrize(
    "special", ["<|image_pad|>", "<|im_end|>\n<|im_start|>assistant\n", "<|vision_start|><|video_pad|>"]
)
async def test_a_report_that_quotes_special_tokens_is_text(rehearsal, monkeypatch, special):
    """One place of an image more than there are images would end the run."""
    from visual_erm.judge.local.judge import LocalJudge

    specials, found = set(rehearsal.model.tokenizer.all_special_ids), []
    for described in ("nothing", f"{special}{special}"):

        async def quoting(self, *arguments, described=described):
            return Report((Discrepancy("shape_error", 3, described),))

        monkeypatch.setattr(LocalJudge, "judge", quoting)
        output = await rehearsal.write([HALF, GOOD])
        found.append([token for token in output.response_ids if token in specials])
    assert found[0] == found[1]


async def test_an_engine_that_writes_more_than_asked_leaves_no_room_for_another_answer(rehearsal):
    output = await rehearsal.write(["a" * 900, "b"], scripted(told("short")), response_length=1000, feedback_length=200)
    assert (output.num_turns, set(output.response_mask)) == (2, {1})


async def without_turns(data: Any) -> dict[str, Any]:
    return {"reward_score": 1.0, "reward_extra_info": {"score": 1.0}}


@pytest.mark.parametrize(
    ("run_single", "message"),
    [
        (scripted([Turn("a", {"score": 1.0, "scored_ok": 1.0})]), "says nothing to revise by"),
        (scripted([Turn("a", {"score": 1.0})]), "says nothing to revise by"),
        (without_turns, "returns no turn"),
    ],
)
async def test_a_reward_that_has_nothing_to_say_is_an_error(rehearsal, run_single, message):
    with pytest.raises(ConfigError, match=message):
        await rehearsal.write(["a", "b"], run_single)


@pytest.mark.parametrize(
    ("text", "room", "expected"),
    [
        ("one\n\ntwo", 100, "one\n\ntwo"),
        ("a\nb\nc\n\nend", 9, "a\n…\n\nend"),
        ("a\nb\nc\n\nend", 6, "…\n\nend"),
        ("a\nb\nc\n\nend", 2, "a\n"),
        ("abcdef", 3, "abc"),
        ("abc", 0, ""),
        ("", 0, ""),
    ],
)
def test_a_text_is_shortened_before_its_last_paragraph(text, room, expected):
    assert shorten(text, lambda part: len(part) <= room) == expected


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (640, 480), (63, 64)])
def test_an_image_is_made_like_its_reference(size):
    made = like(Image.new("RGB", size, "black"), Image.new("RGB", (320, 240)))
    assert made.width * made.height <= 1.02 * 320 * 240
    assert max(made.size) <= 60 * min(made.size)
    if size == (63, 64):
        assert made.size == size


async def test_the_loop_renders_with_the_pipeline_that_a_single_answer_has(rehearsal, reference):
    """Both ways give one answer the same numbers, but for times."""
    output = await rehearsal.write([HALF], threshold=1.0)
    async with RewardPipeline(load_task(TASK), _local()) as pipeline:
        alone = (await pipeline.score(HALF, reference)).numbers(load_task(TASK).report.categories)
    numbers = output.extra_fields["reward_extra_info"]
    assert {name: numbers[name] for name in alone if not name.endswith("_ms")} == {
        name: value for name, value in alone.items() if not name.endswith("_ms")
    }
    assert set(numbers) - set(alone) == {"refine_turns", "refine_rewarded_turn", "refine_first_score", "refine_last_score"}
    assert torch.tensor(output.response_mask).all()


def _local() -> Any:
    from visual_erm.spec.judge import JudgeSettings

    return JudgeSettings(kind="local")
