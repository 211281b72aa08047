"""What tables, charts and drawings have in common: code that comes back, single tokens, images, balanced batches."""

import random

import pytest
from PIL import ImageChops

from visual_erm.demo import tiny_data
from visual_erm.demo.tiny_problem import CANVAS, MAX_COLUMNS, MAX_ROWS, MAX_TEXT
from visual_erm.demo.tiny_tasks import TASKS
from visual_erm.extract import extract
from visual_erm.spec.task import load_task

PROBLEMS = TASKS["mixed"].problems
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.task)


def samples(problem, count=60):
    rng = random.Random(0)
    return [problem.synthetic(rng) for _ in range(count)] + problem.batch(rng, 16) + problem.held_out(rng, 16)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    # Here, because other tests need no torch.
    from transformers import AutoTokenizer

    from visual_erm.demo.warm_start import build

    build(folder, PROBLEMS, seed=0)
    return AutoTokenizer.from_pretrained(folder)


@each_problem
def test_code_comes_back_as_the_sample_it_was_made_from(problem):
    for sample in samples(problem):
        assert problem.read(problem.write(sample)) == sample


@each_problem
def test_the_reward_finds_the_code_in_a_reply(problem):
    code = extract(problem.write(samples(problem)[0]), load_task(problem.task).code_languages)
    assert code.language == problem.language


@each_problem
@pytest.mark.parametrize(
    "reply", ["", "I see nothing", "```python\nplt.barh(['a',[1\n```", "<svg><circle/></svg>", "<table>"]
)
def test_a_reply_that_describes_nothing_has_no_parts_and_no_right_shape(problem, reply):
    found = problem.read(reply)
    shapes = {problem.shape(sample) for sample in samples(problem)}
    assert problem.shape(found) not in shapes
    assert not {part for part in problem.parts(found).values() if part}


@each_problem
def test_a_damaged_sample_is_another_one_and_can_be_written(problem):
    rng = random.Random(0)
    for sample in samples(problem):
        damaged = problem.damaged(rng, sample)
        assert damaged != sample
        assert problem.read(problem.write(damaged)) == damaged


@pytest.mark.long
@each_problem
def test_code_is_short_and_every_word_and_run_of_it_is_one_token(problem, tokenizer):
    assert {text: len(tokenizer(text)["input_ids"]) for text in (*problem.words, *problem.runs, problem.prompt)} == (
        dict.fromkeys([*problem.words, *problem.runs, problem.prompt], 1)
    )
    for sample in samples(problem):
        code = problem.write(sample)
        ids = tokenizer(code)["input_ids"]
        assert len(ids) < 64
        assert tokenizer.decode(ids, skip_special_tokens=True) == code


@each_problem
def test_what_a_cell_shows_fits_the_canvas_and_the_heads(problem):
    for sample in samples(problem):
        for (row, column), seen in problem.sight(sample).items():
            assert 0 <= row < MAX_ROWS
            assert 0 <= column < MAX_COLUMNS
            assert len(seen) <= MAX_TEXT + 1


@each_problem
async def test_different_samples_never_look_the_same(problem):
    different = {problem.write(sample): sample for sample in samples(problem)}
    images = await problem.render([*different.values()])
    assert {(image.size, image.mode) for image in images} == {(CANVAS, "RGB")}
    assert len({image.tobytes() for image in images}) == len(different)


@each_problem
def test_every_training_step_sees_the_same_shapes(problem):
    rng = random.Random(1)
    shapes = [sorted(map(problem.shape, problem.batch(rng, 6))) for _ in range(6)]
    assert all(step == shapes[0] for step in shapes)
    assert len(set(shapes[0])) > 2


def test_a_mixture_has_as_many_samples_of_each_problem_in_every_step():
    tiny = TASKS["mixed"]
    asked = tiny_data.train_samples(tiny, seed=0, steps=2)
    assert len(asked) == 2 * tiny.batch
    steps = [[problem.task for problem, _ in asked[i : i + tiny.batch]] for i in (0, tiny.batch)]
    assert steps == [["table"] * 6 + ["chart"] * 6 + ["svg"] * 6] * 2


async def test_images_of_a_mixture_are_those_of_each_problem_alone():
    asked = tiny_data.train_samples(TASKS["mixed"], seed=0, steps=1)
    for (problem, sample), image in zip(asked[::5], (await tiny_data.render_images(asked))[::5], strict=True):
        (alone,) = await problem.render([sample])
        assert ImageChops.difference(alone, image).getbbox() is None


@pytest.mark.parametrize("task", TASKS)
def test_the_seed_changes_the_training_samples_and_not_the_held_out_ones(task):
    tiny = TASKS[task]
    first, again, other = (tiny_data.train_samples(tiny, seed, 2) for seed in (0, 0, 1))
    assert first == again != other
    assert tiny_data.held_out_samples(tiny) == tiny_data.held_out_samples(tiny)
