"""Has the machine, or the cluster, what the run needs: a browser, a sandbox, GPUs, and room on the disk?"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from visual_erm.errors import ConfigError, RendererUnavailable
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.findings import Finding, Note, Problem, problems_from
from visual_erm.preflight.model import BYTES_OF_TYPE, weights
from visual_erm.render.chromium import find_chromium
from visual_erm.sandbox.host import examine
from visual_erm.serve.plan import gpus_here
from visual_erm.training.run_ledger import checkpoint

RAY_TIMEOUT_S = 120.0
"""Seconds that Ray has to answer."""
GIB = 2**30
SAVED = "global_step_"
"""Beginning of the name of a checkpoint's folder, before the step."""


def check_browser(context: RunContext) -> Iterator[Finding]:
    """Checks that there is a Chromium, where tables are drawn.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if "renderer" in context.needs and any(task.kind.runs_in == "browser" for task in context.tasks.values()):
        try:
            yield Note(str(find_chromium()))
        except RendererUnavailable as error:
            yield Problem("Chromium", "none found", str(error))


def check_sandbox(context: RunContext) -> Iterator[Finding]:
    """Checks that the sandbox here guarantees what each task requires. A worker in it finds that by trying.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.

    Raises:
        RendererUnavailable: The sandbox does not start.
    """
    if "renderer" not in context.needs:
        return
    self_test = functools.cache(lambda settings: asyncio.run(examine(settings)))
    for name, task in context.tasks.items():
        if task.kind.runs_in != "sandbox":
            continue
        settings = task.render.sandbox  # type: ignore[attr-defined]
        if missing := self_test(settings).missing(settings):
            key = f"task.tasks.{name}" if len(context.tasks) > 1 else "task"
            yield Problem(
                f"{key}.render.sandbox", f"task `{name}`: {missing}",
                f"see `visual-erm doctor`, or shorten {key}.render.sandbox.require where the machine itself is a sandbox",
            )  # fmt: skip
        yield Note(f"{name}: {', '.join(settings.require)}")


def check_gpus(context: RunContext) -> Iterator[Finding]:
    """Checks that Ray has, or will have, the nodes and GPUs that the run asks for.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    trainer, model = context.config.trainer, context.config.reward.reward_model
    wanted = context.gpus + (model.n_gpus_per_node * model.nnodes if model.enable else 0)
    address = context.get("ray_kwargs.ray_init.address") or os.environ.get("RAY_ADDRESS")
    if address:
        yield from _check_cluster(context, str(address), wanted)
    elif trainer.nnodes > 1:
        yield Problem(
            "trainer.nnodes", f"{trainer.nnodes} nodes, but no Ray cluster: the run would wait for them for ever",
            "start it on every node with a launcher of rl_scripts/, or give +ray_kwargs.ray_init.address=HOST:PORT",
        )  # fmt: skip
    else:
        yield from _check_this_machine(context, wanted)


def check_disk(context: RunContext) -> Iterator[Finding]:
    """Checks that the run's folder can be written, and that its disk holds the checkpoints.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    folder = Path(context.config.trainer.default_local_dir).absolute()
    for key, place in (("run_dir", Path(context.config.run_dir)), ("trainer.default_local_dir", folder)):
        there = _existing(place)
        if not (there.is_dir() and os.access(there, os.W_OK)):
            yield Problem(key, f"{there} cannot be written", f"give {key}=FOLDER that can")
            return
    free = shutil.disk_usage(_existing(folder)).free
    size, most, stay = checkpoint_bytes(context), new_checkpoints(context), old_checkpoints(context)
    needed = size * most
    yield Note(
        f"{most} checkpoints of {size / GIB:.2f} GiB, {free / GIB:.0f} GiB free" if size else f"{free / GIB:.0f} GiB free"
    )
    if stay:
        yield Note(f"{len(stay)} of an earlier start, which veRL does not remove")
    if needed > free:
        fix = (
            "keep fewer, save less often (trainer.save_freq), save less "
            "(actor_rollout_ref.actor.checkpoint.save_contents), or give run_dir=FOLDER on a larger disk"
        )
        # The run goes on from the newest.
        if old := [path.name for path in stay[:-1]]:
            fix = f"remove by hand what veRL does not, {', '.join(old[:3])}{' …' if old[3:] else ''} in {folder}; or {fix}"
        yield Problem(
            "trainer.max_actor_ckpt_to_keep",
            f"{most} checkpoints of {size / GIB:.1f} GiB need {needed / GIB:.0f} GiB, {_existing(folder)} has "
            f"{free / GIB:.0f} free",
            fix,
        )


def new_checkpoints(context: RunContext) -> int:
    """Counts the checkpoints that this start of the run adds to the disk at once, at most.

    veRL removes the only one it may keep after the next is written, and the oldest of several before
    (utils/checkpoint/checkpoint_manager.py). It knows those of its own start only: earlier ones stay, and are no part of
    `trainer.max_actor_ckpt_to_keep`.

    Args:
        context: The run.

    Returns:
        The number; 0 where none is saved.
    """
    trainer = context.config.trainer
    if trainer.save_freq <= 0:
        return 0
    steps, keep = context.steps(), trainer.max_actor_ckpt_to_keep
    saved = {*range(trainer.save_freq, steps + 1, trainer.save_freq), steps}
    to_come = {step for step in saved if step > checkpoint(trainer)}
    # A step that is done again is written over.
    added = len(to_come - {_step(path) for path in _saved(context)})
    return min(added, max(2, keep)) if keep else added


def old_checkpoints(context: RunContext) -> list[Path]:
    """Lists the checkpoints of earlier starts of the run.

    Args:
        context: The run.

    Returns:
        Their folders, in the order of steps.
    """
    return sorted(_saved(context), key=_step)


def _saved(context: RunContext) -> list[Path]:
    folder = Path(context.config.trainer.default_local_dir).absolute()
    return [path for path in folder.glob(f"{SAVED}*") if path.is_dir() and path.name.removeprefix(SAVED).isdecimal()]


def _step(path: Path) -> int:
    return int(path.name.removeprefix(SAVED))


def checkpoint_bytes(context: RunContext) -> int:
    """Estimates the size of one checkpoint of the policy.

    FSDP keeps weights and both moments of Adam as `model_dtype`, by default 4 bytes each. Megatron keeps weights of 2
    bytes, and master weights and moments of 4 for its optimizer. The optimizer of an adapter is small and does not count.

    Args:
        context: The run.

    Returns:
        Bytes; 0 where the policy's weights are not on this machine.
    """
    folder = Path(context.config.actor_rollout_ref.model.path)
    numbers = weights(folder) if folder.is_dir() else {}
    parameters, on_disk = sum(numbers.values()), sum(BYTES_OF_TYPE.get(kind, 2) * count for kind, count in numbers.items())
    each = 2 if context.megatron or "16" in str(context.get("actor_rollout_ref.actor.fsdp_config.model_dtype") or "") else 4
    sizes = {
        "model": each * parameters,
        "optimizer": (12 if context.megatron else 2 * each) * parameters,
        "hf_model": on_disk,
    }
    if context.lora_rank:
        sizes["optimizer"] = 0
        if context.get("actor_rollout_ref.actor.checkpoint.save_lora_only"):
            sizes["model"] = 0
    return sum(sizes.get(part, 0) for part in context.config.actor_rollout_ref.actor.checkpoint.save_contents)


def _check_this_machine(context: RunContext, wanted: int) -> Iterator[Finding]:
    pretended = context.get("ray_kwargs.ray_init.num_gpus")
    if context.config.trainer.device == "cpu" or pretended is not None:
        if wanted > (pretended or 0):
            yield Problem(
                "ray_kwargs.ray_init.num_gpus", f"Ray is given {pretended or 0} GPUs, and the run asks for {wanted}",
                f"give ray_kwargs.ray_init.num_gpus={wanted}, or fewer trainer.n_gpus_per_node",
            )  # fmt: skip
        yield Note(
            f"{pretended} pretended, on the CPU" if context.config.trainer.device == "cpu" else f"{pretended} by ray_init"
        )
        return
    try:
        found = len(gpus_here(os.environ))
    except ConfigError as error:
        yield from problems_from(error, "CUDA_VISIBLE_DEVICES", "check the driver")
        return
    if found < wanted:
        elsewhere = "give cluster=cpu to try the recipe without one, or run it where GPUs are"
        yield Problem(
            "trainer.n_gpus_per_node", f"the run takes {wanted} GPUs, this machine has {found}",
            f"give trainer.n_gpus_per_node={found}" if found else elsewhere,
        )  # fmt: skip
    yield Note(f"{found} on this machine")


def _check_cluster(context: RunContext, address: str, wanted: int) -> Iterator[Finding]:
    """Checks a running cluster, by another process: a connection of this one would be the run's."""
    key = "ray_kwargs.ray_init.address"
    try:
        asked = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "visual_erm.training.ray_internals", address],
            capture_output=True, text=True, timeout=RAY_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Problem(
            key,
            f"no Ray at {address} within {RAY_TIMEOUT_S:.0f} s",
            "start it: ray start --head, or a launcher of rl_scripts/",
        )
        return
    if asked.returncode:
        last = asked.stderr.strip().splitlines()[-1:] or ["no reason"]
        fix = "start it: ray start --head, or a launcher of rl_scripts/"
        if re.search("auth", asked.stderr, re.IGNORECASE):
            fix = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's token, as on its nodes"
        yield Problem(key, f"{address}: {last[0][:300]}", fix)
        return
    there = json.loads(asked.stdout.splitlines()[-1])
    have, free = (sum(column) for column in zip(*there, strict=True)) if there else (0, 0)
    yield Note(f"{len(there)} nodes, {have:.0f} GPUs at {address}")
    # veRL packs the GPUs of a node of its pool on one node of Ray.
    trainer = context.config.trainer
    fitting = sum(int(gpus) // trainer.n_gpus_per_node for gpus, _ in there)
    if fitting < trainer.nnodes or have < wanted:
        yield Problem(
            "trainer.nnodes",
            f"the run takes {wanted} GPUs, {trainer.nnodes} x {trainer.n_gpus_per_node} of them for training; "
            f"Ray at {address} has {have:.0f} on {len(there)} nodes",
            "wait until all nodes have joined (ray status), or ask for what is there",
        )  # fmt: skip
    elif free < wanted:
        yield Problem(
            key, f"{free:.0f} of the {have:.0f} GPUs at {address} are free, the run takes {wanted}",
            "end what uses the others (ray status)",
        )  # fmt: skip


def _existing(path: Path) -> Path:
    """Returns the path itself, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())
