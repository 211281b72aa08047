"""Stands in for veRL in the tests of the launcher: the rewards of a batch, on every node, and steps that only pass time.

Everything else is the real thing: the launcher, Ray, and the reward function in actors on all nodes of the cluster.
VISUAL_ERM_TRAINER names this module. STANDIN_STEPS is how many steps of half a second there are.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import ray
from omegaconf import DictConfig, OmegaConf
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from visual_erm import train
from visual_erm.launch.recipe import compose_words
from visual_erm.spec.base import plain
from visual_erm.training import stop_callback

EXAMPLE = Path(__file__).parents[2] / "examples" / "table"
REPLIES = [(EXAMPLE / name).read_text() for name in ("reply.txt", "reply_wrong.txt")] * 8


@ray.remote
class Scorer:
    """A reward worker, as veRL has one on every node."""

    def score(self, replies: list[str], settings: dict) -> dict:
        from reward_func.visual_equivalence import compute_score

        extra = {"index": 0, "reference": {"path": "reference.png"}}

        async def run() -> list[dict[str, float]]:
            return await asyncio.gather(*(compute_score("table", reply, "", extra, **settings) for reply in replies))

        return {
            "node": ray.get_runtime_context().get_node_id(),
            "results": asyncio.run(run()),
            "metrics": os.environ.get("VERL_FILE_LOGGER_PATH"),
            "key_file": settings["judge"].get("api_key_file"),
            "key": os.environ.get("VISUAL_ERM_API_KEY"),
        }


def main() -> None:
    config = compose_words(sys.argv[1:])
    run_dir = Path(config.run_dir)
    again = (run_dir / "state.json").exists()
    # What a first start has found and scored need not be done again by every later one.
    if config.preflight and not again:
        train.check(config)
    else:
        train.prepare(config)
    ray.init(**OmegaConf.to_container(config.ray_kwargs.ray_init))
    nodes, gpus = config.trainer.nnodes, config.trainer.n_gpus_per_node
    group = placement_group([{"CPU": 1, "GPU": gpus}] * nodes, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    done = json.loads((run_dir / "state.json").read_text())["step"] if again else 0
    written = {"gpus": ray.cluster_resources()["GPU"], "from": done, "parts": [] if again else parts(config, group)}
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "attempts.jsonl").open("a") as attempts:
        attempts.write(json.dumps(written) + "\n")
    sys.exit(steps(run_dir, done))


def parts(config: DictConfig, group: PlacementGroup) -> list[dict]:
    """A batch, scored by a worker on each node."""
    nodes = config.trainer.nnodes
    settings = {"task": plain(config.task), "judge": plain(config.judge), "data_root": str(EXAMPLE)}
    each = len(REPLIES) // nodes
    scorers = [
        Scorer.options(
            num_cpus=1,
            num_gpus=config.trainer.n_gpus_per_node,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
        ).remote()
        for number in range(nodes)
    ]
    shares = [REPLIES[number * each : (number + 1) * each] for number in range(nodes)]
    return ray.get([scorer.score.remote(share, settings) for scorer, share in zip(scorers, shares, strict=True)])


def steps(run_dir: Path, done: int) -> int:
    """Goes on where it was, saves its state every step, and stops when asked to."""
    print("the stand-in trains", flush=True)
    for step in range(done + 1, int(os.environ.get("STANDIN_STEPS", "1")) + 1):
        time.sleep(0.5)
        (run_dir / "state.json").write_text(json.dumps({"step": step}))
        if (run_dir / stop_callback.REQUEST).exists():
            (run_dir / stop_callback.REQUEST).unlink()
            return 3
    return int(os.environ.get("STANDIN_EXIT", "0"))


if __name__ == "__main__":
    main()
