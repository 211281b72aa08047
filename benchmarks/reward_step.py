"""One step of GRPO's rewards: thousands of samples at once against four endpoints, and how near that comes to what is
possible.

    python benchmarks/reward_step.py --json step.json --faults

A step can be no faster than the local work (measured: the same samples with a judge that answers at once) and no
faster than the endpoints (measured: the same requests in the same order, prepared beforehand, on slots that are never
idle). The goal is 5 % above the slower of the two. The endpoints are simulated (vllm_simulator.py), the samples are
those of step_samples.py, and the published way is measured on some of them in the same run. As in veRL the samples are
spread over reward workers (`--workers`, step_workers.py), which divide among them what may be under way at an endpoint.
With `--faults` the step is done once more while endpoints die, hang, fail and join: every sample must get the reward of
the calm step. With `--calls 10000` so many calls go to fast endpoints (step_soak.py), and memory and descriptors are
compared between the first fifth and the last.

On a machine that others use too, or that has few cores for its endpoints, the step can miss its goal for want of
processors alone: what it took of them, and what others took, is among the figures. `--median 6` makes the endpoints
three times as slow, so that the processors matter less.

Guards that read images in order to check a judge (injection, under_reporting, omission) take more of two cores than all the
rest together, and are off unless `--guards` is given; what they cost is then in the step and in the bound of local
work alike.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from published_step import seconds_per_sample
from rich.console import Console
from rich.table import Table
from step_bounds import busy, full, planned, replayed
from step_samples import Sample, samples
from step_soak import soak
from step_workers import Outcome, Step, Workers
from vllm_simulator import MEDIAN_S, SLOTS, Endpoint, Fault, Served, endpoints, served

from visual_erm.judge.usage import percentile
from visual_erm.runtime.files import write_atomic
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task, load_tasks

ENDPOINTS = 4
AHEAD = 4
"""Requests that wait inside of an endpoint, so that a slot that gets free is not idle until the next request is there."""
TIMEOUT, LEAST_TIMEOUT_S = 15.0, 5.0
"""For one request: so many times the median latency, which one in thirty million exceeds, and no less than the second."""
GOAL, GOAL_BLOCK_MS, GOAL_BACK_S = 1.05, 50.0, 10.0
NEARLY = 0.95
"""Share of the slots that work from which on the endpoints are at their bound."""
ERRORS_S, ERRORS_TURN_S = 60.0, 5.0
"""How long an endpoint fails, with errors and rubbish by turns of so many seconds."""
MOMENTS = {"dead": 0.2, "wedged": 0.5, "errors": 0.8, "joins": 1.1}
"""When an endpoint dies, hangs, fails, and when another one joins, as parts of the calm step's time: as far apart as the
step's work allows, which is over at some 1.45, so that each time can be told how soon the throughput is back."""
SOAK_MEDIAN_S = 0.02


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    count: int
    workers: int
    seed: int
    median_s: float
    slots: int
    in_flight: int
    guards: bool
    faults: bool
    stalled: bool
    published: int
    calls: int


def tasks_of(guards: bool) -> dict[str, Task]:
    """The three tasks, with or without the guards that read images to check on a judge."""
    off = {name: {"enabled": guards} for name in ("injection", "under_reporting", "omission")}
    return {
        name: task.model_copy(update={"guard": task.guard.model_validate({**task.guard.model_dump(), **off})})
        for name, task in load_tasks("mixed").items()
    }


def remote(file: Path, urls: Iterable[str], options: Options) -> JudgeSettings:
    """The judge of a worker; its endpoints are read from a file, written here."""
    write(file, urls)
    timeout_s = max(LEAST_TIMEOUT_S, TIMEOUT * options.median_s)
    each = -(-options.in_flight // options.workers)
    return JudgeSettings(kind="remote", endpoints_file=str(file), max_in_flight=each, timeout_s=timeout_s)


def write(file: Path, urls: Iterable[str]) -> None:
    """Replaces the endpoints file at one blow."""
    write_atomic(file, "".join(f"{url}\n" for url in urls))


def counted(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What judging all of them took."""
    accounts = [one.result.judge_usage for one in outcomes]
    calls = [account for account in accounts if account.calls]
    failures: Counter[str] = Counter()
    for account in accounts:
        failures.update(account.failures)
    return {
        "samples": len(outcomes),
        "judged": sum(one.result.report is not None for one in outcomes),
        "without_image": sum(not one.result.render_ok for one in outcomes),
        "not_judged": sum(not one.result.scored_ok for one in outcomes),
        **{
            name: sum(getattr(account, name) for account in accounts)
            for name in ("identical", "shared", "cached", "calls", "retries", "hedges", "prompt_tokens", "reply_tokens")
        },
        "failures": dict(failures),
        **{
            f"{name}_{share}_ms": percentile([getattr(account, f"{name}_ms") for account in calls], part)
            for name in ("queue", "call")
            for share, part in (("p50", 0.5), ("p95", 0.95))
        },
    }


# The calm step


async def calm(
    mix: Sequence[Sample], tasks: dict[str, Task], simulated: Sequence[Endpoint], options: Options, folder: Path
) -> tuple[Step, dict[str, Any]]:
    """The step, and what bounds it."""
    settings = remote(folder / "endpoints.txt", [endpoint.url for endpoint in simulated], options)
    async with Workers(options.workers, mix, tasks, settings, instant=True) as workers:
        local = await workers.step()
    async with Workers(options.workers, mix, tasks, settings) as workers:
        await asyncio.gather(*(endpoint.reset() for endpoint in simulated))
        done = await workers.step()
    done.told = [await endpoint.stats() for endpoint in simulated]
    done.served = [list(served(told)) for told in done.told]
    calls = sorted(itertools.chain(*done.served), key=lambda one: one.arrived)
    slots = sum(endpoint.slots for endpoint in simulated)
    replay_s = await replayed([one.pair for one in calls], local.bodies, simulated)
    bound = max(local.seconds, replay_s)
    full_from, full_until = full(calls, slots, done.begun)
    return done, {
        "step_s": done.seconds,
        "local_bound_s": local.seconds,
        "endpoints_bound_s": replay_s,
        "endpoints_planned_s": planned((one.ended - one.started for one in calls), slots),
        "bound_s": bound,
        "ratio": done.seconds / bound,
        "utilisation": busy(calls, done.begun, done.begun + done.seconds) / slots,
        "all_slots_first_busy_s": full_from,
        "all_slots_last_busy_s": full_until,
        "utilisation_between": busy(calls, done.begun + full_from, done.begun + full_until) / slots,
        "endpoint_calls": [len(one) for one in done.served],
        "given_up": sum(told["given_up"] for told in done.told),
        "service_mean_s": statistics.mean(one.ended - one.started for one in calls),
        **counted(done.outcomes),
        "cpu_s": done.cpu_s,
        "cpu_local_s": local.cpu_s,
        "loop": done.loop,
        "loop_local": local.loop,
    }


# The step with faults


async def troubled(
    mix: Sequence[Sample],
    tasks: dict[str, Task],
    simulated: Sequence[Endpoint],
    options: Options,
    folder: Path,
    before: tuple[Step, float],
) -> dict[str, Any]:
    """The step once more: of four endpoints three are lost one after the other, and one joins."""
    calm_step, mean_s = before
    dies, stalls, fails, stays, joins = simulated
    settings = remote(folder / "faults.txt", [one.url for one in simulated[:ENDPOINTS]], options)
    working: list[tuple[float, str, list[Endpoint]]] = []
    """Since when, after what, which endpoints work."""
    told: dict[str, dict[str, Any]] = {}

    async def events() -> None:
        begun = time.monotonic()

        async def at(moment: str) -> None:
            await asyncio.sleep(begun + MOMENTS[moment] * calm_step.seconds - time.monotonic())

        await at("dead")
        told[dies.url] = await dies.stats()
        await dies.misbehave(Fault.dead)
        working.append((time.monotonic(), "one dies", [stalls, fails, stays]))
        await at("wedged")
        await stalls.misbehave(Fault.stalled if options.stalled else Fault.wedged)
        working.append((time.monotonic(), "one hangs", [fails, stays]))
        await at("errors")
        failing = asyncio.create_task(_fail(fails))
        working.append((time.monotonic(), "one fails", [stays]))
        try:
            await at("joins")
            write(folder / "faults.txt", [one.url for one in simulated])
            working.append((time.monotonic(), "one joins", [stays, joins]))
            await failing
            working.append((time.monotonic(), "one works again", [stays, joins, fails]))
        finally:
            failing.cancel()

    async with Workers(options.workers, mix, tasks, settings) as workers:
        await asyncio.gather(*(endpoint.reset() for endpoint in simulated))
        troubles = asyncio.create_task(events())
        try:
            done = await workers.step()
        finally:
            troubles.cancel()
            await asyncio.gather(troubles, return_exceptions=True)
    await stalls.misbehave(Fault.none)
    for endpoint in simulated:
        told.setdefault(endpoint.url, await endpoint.stats() if endpoint.alive else {"served": []})
    by_endpoint = {endpoint: list(served(told[endpoint.url])) for endpoint in simulated}
    end = done.begun + done.seconds
    steady = [(done.begun, "start", list(simulated[:ENDPOINTS])), *working]
    all_served = list(itertools.chain(*by_endpoint.values()))
    last_arrival = max((one.started for one in all_served), default=end)
    spans = []
    for (since, what, which), until in zip(steady, [*(since for since, *_ in steady[1:]), end], strict=True):
        mine = list(itertools.chain(*(by_endpoint[endpoint] for endpoint in which)))
        slots = sum(endpoint.slots for endpoint in which)
        spans.append(
            {
                "after": what,
                "from_s": since - done.begun,
                "until_s": until - done.begun,
                "slots": slots,
                "bound_per_s": slots / mean_s,
                "answers_per_s": sum(since <= one.ended < until for one in all_served) / max(until - since, 1e-9),
                "busy": busy(mine, since, until) / slots,
                "back_at_bound_s": _back(mine, slots, since, min(until, last_arrival)),
            }
        )
    rewards = [one.result.reward for one in done.outcomes]
    expected = [one.result.reward for one in calm_step.outcomes]
    return {
        "step_s": done.seconds,
        "bound_s": _bound([(since - done.begun, which) for since, _, which in steady], calm_step),
        "spans": spans,
        "answers_each_s": _each_second(all_served, done.begun, end),
        "rewards_differ": sum(mine != other for mine, other in zip(rewards, expected, strict=True)),
        "endpoint_calls": [len(one) for one in by_endpoint.values()],
        **counted(done.outcomes),
        "loop": done.loop,
    }


async def _fail(endpoint: Endpoint) -> None:
    """Errors and rubbish by turns, for a while."""
    for turn in range(int(ERRORS_S / ERRORS_TURN_S)):
        await endpoint.misbehave(Fault.rubbish if turn % 2 else Fault.errors)
        await asyncio.sleep(ERRORS_TURN_S)
    await endpoint.misbehave(Fault.none)


def _back(answered: Sequence[Served], slots: int, since: float, until: float) -> float | None:
    """Seconds until the slots that are left are nearly all in use for a second; None when they never were."""
    moments = (since + tenth / 10 for tenth in range(int(10 * (until - since - 1)) + 1))
    return next((moment - since for moment in moments if busy(answered, moment, moment + 1) >= NEARLY * slots), None)


def _bound(changes: Sequence[tuple[float, Sequence[Endpoint]]], calm_step: Step) -> float:
    """Seconds that the calm step's calls take on the slots that work at each time."""
    work = sum(one.ended - one.started for one in itertools.chain(*calm_step.served))
    for (since, which), (until, _) in zip(changes, [*changes[1:], (float("inf"), [])], strict=True):
        slots = sum(endpoint.slots for endpoint in which)
        if work <= slots * (until - since):
            return since + work / slots
        work -= slots * (until - since)
    raise AssertionError("the last change has no end")


def _each_second(answered: Sequence[Served], begun: float, end: float) -> list[int]:
    counts = Counter(int(one.ended - begun) for one in answered)
    return [counts[second] for second in range(int(end - begun) + 1)]


# All of it


async def measure(options: Options) -> dict[str, Any]:
    tasks = tasks_of(options.guards)
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "options": vars(options),
    }
    mix = await samples(options.count, tasks, options.seed)
    figures["mix"] = dict(Counter(sample.task for sample in mix))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with endpoints(
            ENDPOINTS + options.faults, median_s=options.median_s, slots=options.slots, seed=options.seed
        ) as simulated:
            done, figures["step"] = await calm(mix, tasks, simulated[:ENDPOINTS], options, folder)
            if options.published:
                some = [mix[round(place * (len(mix) - 1) / options.published)] for place in range(options.published)]
                urls = [endpoint.url for endpoint in simulated[:ENDPOINTS]]
                each_s, scored = await asyncio.to_thread(seconds_per_sample, some, tasks, urls)
                figures["published"] = {
                    "samples": len(some),
                    "scored": scored,
                    "per_sample_s": each_s,
                    "step_s": each_s * len(mix),
                    "ratio": each_s * len(mix) / done.seconds,
                }
            if options.faults:
                before = (done, figures["step"]["service_mean_s"])
                figures["faults"] = await troubled(mix, tasks, simulated, options, folder, before)
        if options.calls:
            async with endpoints(ENDPOINTS, median_s=SOAK_MEDIAN_S, slots=options.slots) as simulated:
                settings = remote(folder / "soak.txt", [one.url for one in simulated], options)
                figures["soak"] = await soak(options.calls, settings, tasks["svg"])
    return figures


def show(console: Console, figures: dict[str, Any]) -> None:
    one = figures["step"]
    console.print(f"samples             {one['samples']} ({figures['mix']}), {one['judged']} judged, ", end="")
    console.print(f"{one['without_image']} without an image, {one['not_judged']} lost")
    console.print(f"local work alone    {one['local_bound_s']:.1f} s")
    for what, cpu, seconds in (
        ("local work", one["cpu_local_s"], one["local_bound_s"]),
        ("the step", one["cpu_s"], one["step_s"]),
    ):
        shares = ", ".join(f"{name} {used:.1f} s" for name, used in cpu.items())
        console.print(f"processors          {what}: {shares}, of {figures['cores'] * seconds:.1f} s")
    console.print(f"endpoints alone     {one['endpoints_bound_s']:.1f} s (planned {one['endpoints_planned_s']:.1f} s)")
    good = one["ratio"] <= GOAL
    console.print(f"the step            {one['step_s']:.1f} s, {one['ratio']:.3f} of the slower of these ", end="")
    console.print(f"(goal {GOAL}: {'met' if good else '[red]missed[/red]'})")
    console.print(
        f"slots in use        {one['utilisation']:.1%}; all of them from {one['all_slots_first_busy_s']:.1f} s ", end=""
    )
    console.print(f"to {one['all_slots_last_busy_s']:.1f} s, {one['utilisation_between']:.1%} between")
    _show_judging(console, one)
    _show_loop(console, one["loop"])
    if "published" in figures:
        old = figures["published"]
        console.print(f"the published way   {old['per_sample_s']:.2f} s a sample ({old['samples']} measured), ", end="")
        console.print(f"{old['step_s']:.0f} s a step: {old['ratio']:.0f}x")
    if "faults" in figures:
        _show_faults(console, figures["faults"])
    if "soak" in figures:
        long = figures["soak"]
        console.print(f"{long['calls']} calls         {long['calls_per_s']:.0f}/s")
        grid = Table("", "first fifth", "last fifth", "flat")
        for name, (first, last) in long["growth"].items():
            grid.add_row(name, f"{first:.1f}", f"{last:.1f}", "yes" if long["flat"][name] else "[red]no[/red]")
        console.print(grid)
    console.print(f"machine             {figures['cores']} cores, load {figures['load']:.1f} at the start")


def _show_judging(console: Console, one: dict[str, Any]) -> None:
    console.print(f"saved               identical {one['identical']}, shared {one['shared']}, cached {one['cached']}")
    console.print(
        f"calls               {one['calls']} ({one['endpoint_calls']} by endpoint), {one['retries']} retries, ", end=""
    )
    console.print(f"{one['hedges']} hedges, failures {one['failures'] or 'none'}")
    console.print(f"waiting, judging    p50 {one['queue_p50_ms']:.0f} and {one['call_p50_ms']:.0f} ms, ", end="")
    console.print(f"p95 {one['queue_p95_ms']:.0f} and {one['call_p95_ms']:.0f} ms")
    console.print(f"tokens              {one['prompt_tokens']} read, {one['reply_tokens']} written")


def _show_loop(console: Console, loop: dict[str, Any]) -> None:
    good = loop["longest_ms"] <= GOAL_BLOCK_MS
    console.print(
        f"event loop          longest block {loop['longest_ms']:.0f} ms, {loop['longest_own_ms']:.0f} ms of it own ", end=""
    )
    console.print(f"(goal {GOAL_BLOCK_MS:.0f}: {'met' if good else '[red]missed[/red]'}); {loop['blocks']} over the goal")
    for block in loop["worst"][:3]:
        console.print(f"                    {block['ms']:.0f} ms, own {block['own_ms']:.0f}: {block['where']}", style="dim")


def _show_faults(console: Console, one: dict[str, Any]) -> None:
    grid = Table("after", "from s", "to s", "slots", "bound /s", "answers /s", "in use", "back at the bound after s")
    for span in one["spans"]:
        back = span["back_at_bound_s"]
        grid.add_row(
            span["after"],
            f"{span['from_s']:.1f}",
            f"{span['until_s']:.1f}",
            str(span["slots"]),
            f"{span['bound_per_s']:.1f}",
            f"{span['answers_per_s']:.1f}",
            f"{span['busy']:.0%}",
            "[red]never[/red]" if back is None else f"{back:.1f}" if back <= GOAL_BACK_S else f"[red]{back:.1f}[/red]",
        )
    console.print(grid)
    console.print(
        f"step with faults    {one['step_s']:.1f} s; the slots that worked allow {one['bound_s']:.1f} s; ", end=""
    )
    console.print(f"{one['not_judged']} lost, {one['rewards_differ']} with another reward than in the calm step")
    _show_judging(console, one)
    _show_loop(console, one["loop"])
    console.print(f"answers each second {one['answers_each_s']}", style="dim")


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    count: Annotated[int, typer.Option("--samples", help="Of the step.", min=8)] = 2048,
    workers: Annotated[int, typer.Option(help="Reward workers, each a process; veRL's reward.num_workers.", min=1)] = 1,
    faults: Annotated[bool, typer.Option("--faults", help="Once more, while endpoints die, hang, fail and join.")] = False,
    stalled: Annotated[bool, typer.Option("--stalled", help="The one that hangs is not well by its own account.")] = False,
    calls: Annotated[int, typer.Option(help="Calls to fast endpoints, at the end.", min=0)] = 0,
    published: Annotated[int, typer.Option(help="Samples that are scored in the published way.", min=0)] = 32,
    guards: Annotated[bool, typer.Option("--guards", help="With the guards that read pictures.")] = False,
    median: Annotated[float, typer.Option(help="Seconds of a request in a slot, the median.", min=0)] = MEDIAN_S,
    slots: Annotated[int, typer.Option(help="Of each endpoint.", min=1)] = SLOTS,
    in_flight: Annotated[int, typer.Option(help="Requests at one endpoint; 0: a few more than slots.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of samples, reports and latencies.")] = 0,
) -> None:
    """Measure a step of rewards against what bounds it."""
    console = Console()
    ahead = in_flight or slots + AHEAD
    options = Options(count, workers, seed, median, slots, ahead, guards, faults, stalled, published, calls)
    figures = asyncio.run(measure(options))
    show(console, figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
