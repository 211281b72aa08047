"""Jobs on a real Slurm cluster of four nodes with eight pretended GPUs each: they train, serve, end and start again."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from marked import environments, kill_all, marked
from ports import free_port
from slurm_cluster import GPUS, NODES, Slurm, cluster, missing
from vllm_server import IN_ONE_PROCESS, vllm

PROJECT = Path(__file__).parents[2]
MARK = f"VISUAL_ERM_TEST_{uuid.uuid4().hex}"
LAUNCHER = PROJECT / "rl_scripts" / "run_qwen3vl_table_40k_rm_32gpus.sh"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200), pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    home = tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp", ignore_cleanup_errors=True)
    with home as folder, cluster(Path(folder), MARK) as running:
        yield running


@pytest.fixture
def words(tiny_model: Path, table_data: Path) -> list[str]:
    """The recipe of the launcher, for a policy that is small and GPUs that are pretended."""
    return [
        "cluster=cpu", "policy=tiny", "engine=fsdp", f"actor_rollout_ref.model.path={tiny_model}",
        f"data.train_files={table_data / 'train.parquet'}", f"data.val_files={table_data / 'test.parquet'}",
        "data.train_batch_size=8", "actor_rollout_ref.actor.ppo_mini_batch_size=8", "actor_rollout_ref.rollout.n=4",
        "trainer.total_training_steps=1", f"trainer.n_gpus_per_node={GPUS}", f"ray_kwargs.ray_init.num_gpus={GPUS}",
        "ray_kwargs.ray_init.num_cpus=4",
    ]  # fmt: skip


def environ(**more: object) -> dict[str, str]:
    """What a user exports before `sbatch`: here with the stand-in for veRL's trainer."""
    variables = {
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{PROJECT}:{Path(__file__).parent}",
        "VISUAL_ERM_TRAINER": "standin_trainer",
        "RAY_PORT": free_port(),
        "RAY_worker_niceness": 0,
        **more,
    }
    return {name: str(value) for name, value in variables.items()}


def attempts(run_dir: Path) -> list[dict]:
    """What each start of a run has written of its batch."""
    file = run_dir / "attempts.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def step_of(run_dir: Path) -> int:
    state = run_dir / "state.json"
    return int(json.loads(state.read_text() or "{}").get("step", 0)) if state.exists() else 0


def of_node(name: str) -> list[psutil.Process]:
    """What runs of a job on one node."""
    return marked(MARK, SLURMD_NODENAME=name)


def of_jobs() -> list[psutil.Process]:
    """What is left of jobs: all but Slurm's own daemons, and what these start beside them."""
    daemons = {"munged", "slurmctld", "slurmd", "slurmstepd"}
    return [process for process in marked(MARK) if process.is_running() and process.name() not in daemons]


def command_lines() -> list[str]:
    """Of every process on this machine, as anybody can read them."""
    found = []
    for process in psutil.process_iter():
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_job_on_four_nodes_that_loses_one_is_queued_again_goes_on_and_can_be_cancelled(slurm, words, tmp_path):
    run_dir = tmp_path / "run"
    job = slurm.submit(
        PROJECT / "slurm" / "train.sbatch", LAUNCHER, *words, "judge=local", cwd=tmp_path,
        **environ(RUN_DIR=run_dir, STANDIN_STEPS=400),
    )  # fmt: skip
    log = tmp_path / f"visual-erm-{job}.log"

    slurm.until(lambda: step_of(run_dir) > 0, 500, job)
    (first,) = attempts(run_dir)
    assert first["gpus"] == NODES * GPUS == 32
    assert len({part["node"] for part in first["parts"]}) == NODES
    results = [result for part in first["parts"] for result in part["results"]]
    assert len(results) == 16
    assert len({frozenset(result) for result in results}) == 1
    right, wrong = results[::2], results[1::2]
    assert min(result["score"] for result in right) > max(result["score"] for result in wrong)
    assert "three samples are scored" in log.read_text(), "preflight has passed, and counted the GPUs"
    assert re.search(rf"✓ GPUs.*{NODES} nodes, {NODES * GPUS} GPUs", log.read_text())

    secret = next(environ["RAY_AUTH_TOKEN"] for _, environ in environments(of_node("n2")) if "RAY_AUTH_TOKEN" in environ)
    assert len(secret) == 64
    assert not any(secret in line for line in command_lines())

    kill_all(of_node("n3"))
    slurm.until(lambda: "lost n3 (rank 2)" in log.read_text(), 200, job)
    slurm.again(job)
    slurm.until(lambda: len(attempts(run_dir)) == 2, 400, job)
    assert attempts(run_dir)[1]["from"] > 0, "it goes on where it was"

    slurm.command("scancel", job)
    assert slurm.end_of(job, 120)[0] == "CANCELLED"
    slurm.until(lambda: not of_jobs(), 120)
    assert secret not in log.read_text()


@pytest.mark.skipif(not vllm(), reason="vLLM is not installed")
def test_one_job_serves_on_one_node_trains_on_the_others_and_saves_when_time_is_up(slurm, words, tiny_model, tmp_path):
    run_dir = tmp_path / "run"
    # Within what the tiny model's context holds.
    small = [
        "task.judge.image.longest_side=256", "task.judge.sampling.max_tokens=700", "task.judge.sampling.temperature=1.0",
        "task.report.max_discrepancies=3", "task.report.max_text=24", "judge.timeout_s=300", "preflight=false",
    ]  # fmt: skip
    job = slurm.submit(
        "--nodes=3", PROJECT / "slurm" / "train_with_reward_model.sbatch", LAUNCHER, *words, *small, cwd=tmp_path,
        **environ(RUN_DIR=run_dir, MODEL=tiny_model, PORT=free_port(), STANDIN_STEPS=4000, MAX_RESTARTS=0),
        **IN_ONE_PROCESS,
    )  # fmt: skip
    slurm.until(lambda: step_of(run_dir) > 0, 700, job)
    endpoints = tmp_path / "outputs" / "slurm" / job / "endpoints"
    key = (endpoints / "api_key").read_text().strip()
    assert len(key) == 64 and (endpoints / "api_key").stat().st_mode & 0o777 == 0o600, "a key of the job's own"
    assert not any(key in line for line in command_lines())
    training = [environ for _, environ in environments(of_node("n2") + of_node("n3"))]
    assert training and not any(key in value for environ in training for value in environ.values())
    # As Slurm does before the time limit.
    slurm.command("scancel", "--batch", "--signal=USR1", job)
    state = slurm.end_of(job, 200)
    log = (tmp_path / f"visual-erm-{job}.log").read_text()
    assert state == ("FAILED", "3"), log[-3000:]
    assert "asked to stop: the step under way is finished and saved first" in log
    (only,) = attempts(run_dir)
    assert len({part["node"] for part in only["parts"]}) == 2
    results = [result for part in only["parts"] for result in part["results"]]
    assert all(result["scored_ok"] == 1 for result in results)
    assert all(result["judge_identical"] == 1 for result in results[::2])
    assert all(result["judge_calls"] + result["judge_shared"] == 1 for result in results[1::2])
    assert {part["key_file"] for part in only["parts"]} == {str(endpoints / "api_key")}
    assert {part["key"] for part in only["parts"]} == {None}
    assert key not in log
    slurm.until(lambda: not of_jobs(), 120)


def test_a_job_that_serves_and_trains_says_what_is_wrong_before_it_serves(slurm, words, tiny_model, tmp_path):
    job = slurm.submit(
        "--nodes=2", PROJECT / "slurm" / "train_with_reward_model.sbatch", LAUNCHER, *words, "trainer.nnode=1",
        cwd=tmp_path, **environ(RUN_DIR=tmp_path / "run", MODEL=tiny_model, VISUAL_ERM_API_KEY="of-the-user"),
    )  # fmt: skip
    state = slurm.end_of(job, 120)
    log = (tmp_path / f"visual-erm-{job}.log").read_text()
    assert state == ("FAILED", "2"), log[-3000:]
    assert "trainer.nnode" in log
    folder = tmp_path / "outputs" / "slurm" / job
    assert not (folder / "serve").exists()
    key_file = folder / "endpoints" / "api_key"
    assert key_file.read_text() == "of-the-user\n" and key_file.stat().st_mode & 0o777 == 0o600
    assert "of-the-user" not in log
