"""judge=colocated: veRL's reward worker tells the reward function where veRL's own router is, and the judge asks there.

veRL's router and reward worker are the real ones; behind the router stand servers of the tests in place of veRL's vLLM,
which needs GPUs.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from aiohttp import web
from openai_server import OpenAIServer, completion, serving
from ports import free_port
from test_reward_loop import RIGHT, WRONG, batch, reference  # noqa: F401  a fixture

from visual_erm.preflight.overrides import compose_recipe
from visual_erm.spec.base import shipped

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ERRORS = [{"type": "numeric_error", "description": "1 became 2", "severity": 2}]
REPORT = {"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 1, "errors": ERRORS}


def configuration(model: Path, data: Path, run_dir: Path):
    return compose_recipe(
        [
            *("cluster=cpu", "policy=tiny", "judge=colocated"),
            f"run_dir={run_dir}",
            f"actor_rollout_ref.model.path={model}",
            f"reward.reward_model.model_path={model}",
            f"reward.custom_reward_function.path={shipped('reward_func') / 'visual_equivalence.py'}",
            f"reward.custom_reward_function.reward_kwargs.data_root={data}",
        ]
    )


async def healthy(request: web.Request) -> web.Response:
    return web.Response()


def test_verl_accepts_the_settings_of_its_reward_model(tiny_model, tmp_path):
    from verl.utils.config import omega_conf_to_dataclass

    config = configuration(tiny_model, tmp_path, tmp_path)
    served = omega_conf_to_dataclass(config.reward.reward_model)
    assert (served.enable, served.enable_resource_pool, served.model_path) == (True, True, str(tiny_model))
    assert not served.rollout.free_cache_engine, "nobody would wake it"
    assert config.reward.custom_reward_function.reward_kwargs.judge.kind == "colocated"


async def test_the_judge_is_asked_through_verls_router_under_the_name_that_it_serves(tiny_model, reference, tmp_path):  # noqa: F811
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
    from verl.experimental.reward_loop.router.naive_router import run_router
    from verl.utils import hf_tokenizer

    routes = {**serving(str(tiny_model)), "/health": healthy}
    async with (
        OpenAIServer(completion(json.dumps(REPORT)), routes=routes) as first,
        OpenAIServer(completion(json.dumps(REPORT)), routes=routes) as second,
    ):
        port = free_port()
        backends = [server.url.removesuffix("/v1") for server in (first, second)]
        router = multiprocessing.get_context("spawn").Process(target=run_router, args=("127.0.0.1", port, backends))
        router.start()
        try:
            worker = RewardLoopWorker(configuration(tiny_model, reference, tmp_path), f"127.0.0.1:{port}")
            score = worker.reward_manager.compute_score
            results = await worker.compute_score_batch(batch(hf_tokenizer(str(tiny_model)), [RIGHT, WRONG] * 4))
            await score.args[0].__globals__["close"]()
        finally:
            router.terminate()
            router.join()
    numbers = [result["reward_extra_info"] for result in results]
    assert [n["severity"] for n in numbers] == [0, 2] * 4, "what is equal to its reference needs no judge"
    assert {n["scored_ok"] for n in numbers} == {1}
    assert sum(n["judge_calls"] for n in numbers) == len(first.bodies) + len(second.bodies) == 1
    assert {body["model"] for server in (first, second) for body in server.bodies} == {str(tiny_model)}
