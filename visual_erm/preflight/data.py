"""Is the data there, does veRL load it, does it belong to the tasks, and do its references open?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from visual_erm.data.check import TOO_LONG, type_mismatch
from visual_erm.data.row_contract import check_files, check_truths, reference_of
from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.preflight.context import KEYS, RunContext
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.preflight.sample import SampledRow, count
from visual_erm.training.reward_requirements import REWARD
from visual_erm.vision.images import load_image

MAX_LISTED_ROWS = 3
"""Broken rows of one split that are listed one by one."""
MAX_TYPE_LENGTH = 300
"""Characters of a column's type that a message shows."""
_RETYPE = (
    'python -c \'import pyarrow.parquet as pq; types = pq.read_schema("{first}"); '
    'pq.write_table(pq.read_table("{file}").select(types.names).cast(types), "{file}")\''
)
MAKE = "make it with data_prep/ (for policy=tiny: make demo)"


def check_exist(context: RunContext, key: str) -> Iterator[Finding]:
    """Checks that the files under a key of `data` are parquet and hold rows.

    Args:
        context: The run.
        key: One of `KEYS`.

    Yields:
        Problems, and a note on what was looked at.
    """
    if not context.files(key):
        yield Problem(f"data.{key}", "not set", f"give data.{key}=FILE.parquet; {MAKE}")
    for file in context.files(key):
        if not Path(file).is_file():
            yield Problem(f"data.{key}", f"{file} does not exist", MAKE)
            continue
        try:
            rows = count(file)
        except ConfigError as error:
            yield from problems_from(error, f"data.{key}", MAKE)
            continue
        if not rows:
            yield Problem(f"data.{key}", f"{file} holds no rows", MAKE)
        yield Note(f"{Path(file).name}: {rows} rows")


def check_amount(context: RunContext) -> Iterator[Finding]:
    """Checks that the training rows make a batch, and last for the steps that were asked for.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    rows = sum(count(file) for file in context.files("train_files"))
    prompts, asked = context.config.data.train_batch_size, context.get("trainer.total_training_steps")
    if rows < prompts:
        yield Problem(
            "data.train_batch_size", f"{prompts} prompts a step, but data.train_files hold {rows} rows, not even one step",
            f"give at most {rows}, or more data",
        )  # fmt: skip
        return
    yield Note(f"{context.steps()} steps")
    if asked is not None and context.steps() < asked:
        epochs = -(-asked * prompts // (rows // prompts * prompts))
        yield Problem(
            "trainer.total_training_steps",
            f"{asked} steps, but in {context.config.trainer.total_epochs} epochs the data lasts for {context.steps()}",
            f"give trainer.total_epochs={epochs}, or fewer steps: the last one would be neither saved nor tested",
        )  # fmt: skip


def check_tasks(context: RunContext) -> Iterator[Finding]:
    """Checks that each row belongs to a task, fits the renderer here, and holds what the reward compares with.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    for key in KEYS:
        for file in context.readable(key):
            try:
                check_files([file], context.tasks, renders="renderer" in context.needs)
                if "ground_truth" in context.needs:
                    check_truths([file])
            except ConfigError as error:
                yield from problems_from(error, f"data.{key}", "see docs/data.md for what a row holds")
    yield Note("all of them")


def check_joined(context: RunContext) -> Iterator[Finding]:
    """Checks that veRL can join the files under each key of `data`: that their columns have the same types.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    for key in KEYS:
        seen: dict[str, pa.Schema] = {}
        for file in context.readable(key):
            schema = pq.read_schema(file)
            if any(schema.equals(known, check_metadata=True) for known in seen.values()):
                continue
            for first, known in seen.items():
                if mismatch := type_mismatch(known, schema):
                    column, wanted, found = mismatch[0], *map(_short, mismatch[1:])
                    yield Problem(
                        f"data.{key}",
                        f"veRL cannot join {file} with {first}: column `{column}` is {found}, there {wanted}",
                        f"write it again with the types of the other file: {_RETYPE.format(first=first, file=file)}",
                    )  # fmt: skip
                    break
            else:
                seen[file] = schema
    yield Note("all of them")


def _short(text: str) -> str:
    return text if len(text) <= MAX_TYPE_LENGTH else f"{text[:MAX_TYPE_LENGTH]} …"


def check_load(context: RunContext) -> Iterator[Finding]:
    """Checks that veRL's own dataset class loads the rows, and that their prompts are short enough.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    data = context.config.data
    try:
        context.verl_check  # noqa: B018  only made
    except ConfigError as error:
        yield from problems_from(error, "actor_rollout_ref.model.path", "give the folder of a vision-language model")
        return
    for key, rows in context.rows.items():
        try:
            lost = [(row, loaded.lost) for row, loaded in zip(rows, context.loaded(key), strict=True) if loaded.lost]
        except ConfigError as error:
            yield Problem(f"data.{key}", str(error), "make the data again with data_prep/, or see docs/data.md")
            continue
        long = [row for row, reason in lost if reason.startswith(TOO_LONG)]
        broken = [(row, reason) for row, reason in lost if not reason.startswith(TOO_LONG)]
        yield from first_problems(f"data.{key}", broken, "correct it, or make the data again with data_prep/")
        if long and (not data.filter_overlong_prompts or len(long) == len(rows)):
            yield Problem(
                "data.max_prompt_length",
                f"{len(long)} of {len(rows)} prompts looked at are longer than {data.max_prompt_length} tokens, "
                f"the first in {long[0].where}",
                "raise it, make the pictures smaller (--longest-side of data_prep/), or leave such rows out with "
                "data.filter_overlong_prompts=true",
            )  # fmt: skip
        elif long:
            yield Note(f"{len(long)} of {len(rows)} prompts are too long and left out")
    yield Note(extent(context))


def check_references(context: RunContext) -> Iterator[Finding]:
    """Checks that the reference images open, of the rows that the run scores and for a reward that looks at them.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if "renderer" not in context.needs:
        return
    for key in scored_keys(context):
        broken = []
        for row in context.rows[key]:
            try:
                reference_image(context, row)
            except (ConfigError, ReferenceUnavailable) as error:
                broken.append((row, str(error).removeprefix(f"{row.where}: ").partition("; ")[0]))
        fix = "make the data again with data_prep/"
        if any((row.extra_info.get("reference") or {}).get("path") for row, _ in broken):
            fix = (
                f"{REWARD}.reward_kwargs.data_root is the folder that the paths start from; they may leave it with "
                "allow_outside_data_root=true beside it"
            )
        yield from first_problems(f"data.{key}", broken, fix)
    yield Note(extent(context, scored_keys(context)))


def scored_keys(context: RunContext) -> tuple[str, ...]:
    """Lists the keys of `data` whose rows the run scores.

    Args:
        context: The run.

    Returns:
        The keys: those of a run without validation are the first alone.
    """
    return KEYS if context.tests else KEYS[:1]


def reference_image(context: RunContext, row: SampledRow) -> Image.Image:
    """Loads the reference of a row as the reward does.

    Args:
        context: The run; its reward says where paths start from.
        row: The row.

    Returns:
        The image: upright, RGB, on white.

    Raises:
        ConfigError: The row has no reference.
        ReferenceUnavailable: It cannot be read.
    """
    root = context.get(f"{REWARD}.reward_kwargs.data_root")
    allow_outside = bool(context.get(f"{REWARD}.reward_kwargs.allow_outside_data_root"))
    return load_image(reference_of(row.extra_info, root, row.where, allow_outside))


def first_problems(key: str, broken: Sequence[tuple[SampledRow, str]], fix: str) -> Iterator[Problem]:
    """Makes problems of the first broken rows, and one of the number of all others.

    Args:
        key: The setting to change.
        broken: Rows, and what is wrong with each.
        fix: The fix.

    Yields:
        The problems.
    """
    for row, reason in broken[:MAX_LISTED_ROWS]:
        yield Problem(key, f"{row.where}: {reason}", fix)
    if len(broken) > MAX_LISTED_ROWS:
        yield Problem(key, f"{len(broken) - MAX_LISTED_ROWS} more of the rows looked at are broken", fix)


def extent(context: RunContext, keys: Sequence[str] = KEYS) -> str:
    """Says how many rows were looked at.

    Args:
        context: The run.
        keys: Some of `KEYS`.

    Returns:
        The words.
    """
    whole = sum(count(file) for key in keys for file in context.readable(key))
    rows = sum(len(context.rows[key]) for key in keys)
    return f"all {whole} rows" if rows == whole else f"{rows} of {whole} rows, spread over the files"
