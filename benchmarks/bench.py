"""VC-RewardBench's 1,335 pairs against four endpoints: how near `visual-erm bench run` comes to what the endpoints allow.

    python benchmarks/bench.py --json bench.json

The endpoints are simulated (vllm_simulator.py): each works on so many requests at a time, and each request takes the same
time. Their bound is what they take when no slot is ever idle. The goal is 5% above it. The pairs are rendered here; there
are as many as in the benchmark, and every one is asked about.

The published way is measured on some of the pairs in the same run, with as many requests at a time: threads that each open
both files, encode them and wait for the answer, with one client for one address. The published script knows one address,
so one of its measurements uses one endpoint. In the other one, pair i goes to endpoint i mod 4.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import openai
import typer
from step_bounds import planned
from vllm_simulator import endpoints

from visual_erm.bench.rows import IMAGES, Row, read_rows
from visual_erm.bench.run import run
from visual_erm.reward.report import report_schema
from visual_erm.spec.judge import JudgeSettings, ReuseSettings
from visual_erm.spec.task import load_task

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "bench"))
from pairs import KINDS, PREDICTIONS, write_pairs

ENDPOINTS, SLOTS = 4, 32
AHEAD = 4
"""Requests that wait inside of an endpoint, so that a slot that gets free is not idle until the next request is there."""
GOAL, GOAL_PUBLISHED = 1.05, 1.5
TIMEOUT = 15.0
"""For one request: so many times what it takes in a slot."""


def published(rows: Sequence[Row], root: Path, urls: Sequence[str], at_once: int) -> float:
    """Seconds that the published way takes for these pairs, spread over these endpoints."""
    clients = [openai.OpenAI(base_url=url, api_key="none", max_retries=0) for url in urls]

    def ask(number: int) -> None:
        row = rows[number]
        task = load_task(row.category)
        images = [base64.b64encode((root / row.content[key]).read_bytes()).decode() for key in IMAGES]
        content: list[dict[str, Any]] = [{"type": "text", "text": task.judge.prompt}]
        content += [{"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{one}"}} for one in images]
        # The published script sends no schema; the simulator takes from it which report to write.
        form = {"type": "json_schema", "json_schema": {"name": "report", "schema": report_schema(task.report)}}
        asked: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "response_format": form}
        clients[number % len(clients)].chat.completions.create(model="visual-erm", max_tokens=8192, **asked)

    begun = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(ask, range(len(rows))))
    seconds = time.monotonic() - begun
    for client in clients:
        client.close()
    return seconds


async def measure(pairs: int, sample: int, service_s: float, folder: Path) -> dict[str, Any]:
    path = await asyncio.to_thread(write_pairs, folder, -(-pairs // (PREDICTIONS * len(KINDS))))
    rows = read_rows(path)[0][:pairs]
    slots = ENDPOINTS * SLOTS
    at_once = ENDPOINTS * (SLOTS + AHEAD)
    async with endpoints(ENDPOINTS, median_s=service_s, sigma=0, slots=SLOTS) as simulated:
        urls = [endpoint.url for endpoint in simulated]
        judge = JudgeSettings(
            kind="remote",
            endpoints=tuple(urls),
            max_in_flight=SLOTS + AHEAD,
            timeout_s=TIMEOUT * service_s,
            reuse=ReuseSettings(identical=False, shared=False, cache=False),
        )
        begun, cpu = time.monotonic(), time.process_time()
        done = await asyncio.to_thread(run, rows, folder, judge, folder / "answers.jsonl", name="simulated")
        seconds, cpu_s = time.monotonic() - begun, time.process_time() - cpu
        calls = [len((await endpoint.stats())["served"]) for endpoint in simulated]
        bound = planned([service_s] * len(rows), slots)
        figures: dict[str, Any] = {
            "pairs": len(rows),
            "failed": len(done.failed),
            "calls": calls,
            "bound_s": bound,
            "seconds": seconds,
            "ratio": seconds / bound,
            "cpu_s": cpu_s,
            "load": os.getloadavg()[0],
        }
        step = max(1, len(rows) // sample)
        some = rows[::step][:sample]
        for name, chosen in (("published_one_address", urls[:1]), ("published_spread", urls)):
            taken = await asyncio.to_thread(published, some, folder, chosen, at_once)
            all_s = taken / len(some) * len(rows)
            figures[name] = {"sample": len(some), "seconds": taken, "all_s": all_s, "ratio": all_s / seconds}
    return figures


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of images.", min=1)] = 1335,
    sample: Annotated[int, typer.Option(help="Pairs that are asked about in the published way.", min=1)] = 256,
    service: Annotated[float, typer.Option(help="Seconds of a request in a slot.", min=0.01)] = 4.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Measure the bench against what the endpoints allow."""
    with tempfile.TemporaryDirectory(prefix="verm-bench-") as name:
        figures = asyncio.run(measure(pairs, sample, service, Path(name)))
    met = figures["ratio"] <= GOAL
    print(f"pairs           {figures['pairs']}, {figures['failed']} failed, calls by endpoint {figures['calls']}")
    print(f"endpoints       {figures['bound_s']:.1f} s at least")
    print(f"the bench       {figures['seconds']:.1f} s, {figures['ratio']:.3f} of that (goal {GOAL}: {_word(met)})")
    print(f"processor       {figures['cpu_s']:.1f} s of this process, load {figures['load']:.1f}")
    for name in ("published_one_address", "published_spread"):
        old = figures[name]
        goal = f" (goal {GOAL_PUBLISHED}: {_word(old['ratio'] >= GOAL_PUBLISHED)})" if "one" in name else ""
        print(f"{name:<22} {old['sample']} pairs in {old['seconds']:.1f} s: {old['ratio']:.2f} times as long{goal}")
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def _word(met: bool) -> str:
    return "met" if met else "missed"


if __name__ == "__main__":
    typer.run(main)
