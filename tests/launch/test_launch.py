"""The launcher's decisions, without a cluster: which node this is, what is run, what is refused before anything starts."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("verl")

from visual_erm.errors import ConfigError
from visual_erm.launch import __main__ as launch
from visual_erm.launch import node, token
from visual_erm.launch.cluster import Node
from visual_erm.launch.commands import LaunchSettings, ray_start
from visual_erm.launch.head import check_nodes
from visual_erm.launch.recipe import Recipe, last_of_each, read_recipe, variables
from visual_erm.launch.topology import Topology, find_topology
from visual_erm.runtime.guarded_process import GuardedProcess

PROJECT = Path(__file__).parents[2]
RECIPES = sorted((PROJECT / "rl_scripts").glob("run_*_32gpus.sh"))
DATA = {"TRAIN_FILES": "/data/train.parquet", "VAL_FILES": "/data/test.parquet", "JUDGE_URLS": "http://10.0.0.9:8000/v1"}


def slurm(*arguments: str) -> str:
    """`scontrol` of a cluster whose nodes' names are no names of hosts."""
    if arguments[:2] == ("show", "hostnames"):
        return "gpu7\ngpu8\n"
    return f"NodeName={arguments[-1]} Arch=x86_64 NodeAddr=10.1.0.{arguments[-1][-1]} NodeHostName=x"


TORCHRUN = {"LOCAL_RANK": "0", "MASTER_ADDR": "h"}
STEP = {"SLURM_STEP_ID": "0", "SLURM_NODEID": "1", "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "gpu[7-8]"}


@pytest.mark.parametrize(
    ("environ", "topology"),
    [
        ({}, Topology()),
        ({"NNODES": "1"}, Topology(nodes=1)),
        ({"NODE_RANK": "3", "NNODES": "4", "MASTER_ADDR": "10.0.0.1"}, Topology(3, 4, "10.0.0.1")),
        # torchrun with one process for each node, and with eight.
        (TORCHRUN | {"GROUP_RANK": "1", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}, Topology(1, 2, "h")),
        (TORCHRUN | {"RANK": "8", "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8"}, Topology(1, 2, "h")),
        # PAI.
        ({"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "dlc-master-0"}, Topology(2, 4, "dlc-master-0")),
        (STEP, Topology(1, 2, "10.1.0.7", ("gpu7", "gpu8"))),
        ({**STEP, "MASTER_ADDR": "ib7"}, Topology(1, 2, "ib7", ("gpu7", "gpu8"))),
    ],
)  # fmt: skip
def test_a_node_finds_its_topology_in_what_its_cluster_exports(environ, topology):
    assert find_topology(environ, slurm) == topology


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"NODE_RANK": "1", "NNODES": "2"}, "nothing says where the head is; set MASTER_ADDR"),
        ({"NNODES": "4"}, "NNODES=4, and nothing says which of them this is; set NODE_RANK"),
        ({"NODE_RANK": "one", "NNODES": "2", "MASTER_ADDR": "h"}, "NODE_RANK=one: must be a whole number"),
        ({"NODE_RANK": "2", "NNODES": "2", "MASTER_ADDR": "h"}, "NODE_RANK=2 is none of 2 nodes"),
        ({**STEP, "NODE_RANK": "0"}, "NODE_RANK says 0, SLURM_NODEID says 1; unset those that are not meant"),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK=1: one process per node is wanted"),
        ({"SLURM_JOB_NUM_NODES": "4"}, "this is not a step on all of them: start it with `srun --ntasks-per-node=1`"),
    ],
)
def test_an_environment_that_says_too_little_or_contradicts_itself_is_an_error(environ, message):
    with pytest.raises(ConfigError) as caught:
        find_topology(environ, slurm)
    assert message in str(caught.value)


def test_variables_stand_for_overrides_and_the_later_word_wins():
    assert variables({"GPUS": "8", "TRAIN_FILES": "a.parquet, b c.parquet", "ENDPOINTS_FILE": "e.txt"}) == [
        "cluster=8gpu", 'data.train_files=[a.parquet,"b c.parquet"]', "judge=remote", "judge.endpoints_file=e.txt"
    ]  # fmt: skip
    assert last_of_each(["task=table", "cluster=32gpu", "+a.b=1", "a.b=2"]) == ["task=table", "cluster=32gpu", "a.b=2"]
    with pytest.raises(ConfigError, match="JUDGE_URLS and REWARD_MODEL are set: give one of them"):
        variables({"JUDGE_URLS": "http://a/v1", "REWARD_MODEL": "/m"})
    assert variables({"MODEL_PATH": '/m"', "RUN_DIR": "1e5"}) == [
        'actor_rollout_ref.model.path="/m\\""', 'run_dir="1e5"'
    ]  # fmt: skip


def dry(script: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a launcher says that it would run."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        ["bash", str(script), *words],
        env={**plain, "PYTHON": sys.executable, "PYTHONPATH": str(PROJECT), "DRY_RUN": "1", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("script", RECIPES, ids=[script.stem for script in RECIPES])
def test_each_recipe_prints_the_commands_of_its_head(script):
    done = dry(script, "data.seed=7", NODE_RANK="0", NNODES="4", MASTER_ADDR="10.0.0.1", **DATA)
    assert done.returncode == 0, done.stderr
    ray, training, *comments = map(shlex.split, done.stdout.splitlines())
    assert {"start", "--block", "--head", "6379", "127.0.0.1"} <= set(ray), "Ray's dashboard listens on the loopback"
    assert "RAY_AUTH_MODE=token" in ray
    task = re.search("_(table|chart|svg)_", script.stem)[1]
    policy = "qwen3vl_8b" if "qwen3vl" in script.stem else "vincicoder_8b"
    assert training[1:3] == ["-m", "visual_erm.train"]
    expected = {f"task={task}", f"policy={policy}", "cluster=32gpu", "engine=megatron", "trainer.nnodes=4", "data.seed=7"}
    assert expected <= set(training)
    assert "++ray_kwargs.ray_init.address=10.0.0.1:6379" in training
    assert all(line[0] == "#" for line in comments), "the output can be pasted into a shell"
    numbers = dict(line[1].split("=", 1) for line in comments if len(line) == 2)
    wanted = {
        "task.name": task, "data.train_batch_size": "256", "actor_rollout_ref.rollout.n": "8", "trainer.nnodes": "4",
        "trainer.n_gpus_per_node": "8", "actor_rollout_ref.actor.optim.lr": "1e-06", "trainer.total_epochs": "1",
        "actor_rollout_ref.actor.kl_loss_coef": "0.01", "data.max_response_length": "8192", "data.seed": "7",
        "judge.kind": "remote", "data.max_prompt_length": "8192", "actor_rollout_ref.actor.ppo_mini_batch_size": "128",
    }  # fmt: skip
    shown = {key: numbers.get(key) for key in wanted}
    assert shown == wanted


def test_the_numbers_are_those_of_variables_and_words_and_of_the_data(tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    pq.write_table(pa.table({"x": range(70)}), tmp_path / "train.parquet")
    environ = {
        "TRAIN_FILES": str(tmp_path / "train.parquet"),
        "VAL_FILES": "/d/test.parquet",
        "JUDGE_URLS": "http://[::1]:8000/v1",
    }
    words = ["task=chart", "policy=qwen3vl_8b", "cluster=8gpu", "engine=fsdp", "run_dir=x", "--"]
    given = ["data.train_batch_size=8", "trainer.total_epochs=3", "actor_rollout_ref.actor.optim.lr=2e-6"]
    lines = set(read_recipe(words[:-1], given, environ, Topology()).numbers)
    assert {
        "task.name=chart", "data.train_batch_size=8", "actor_rollout_ref.actor.optim.lr=2e-06", "trainer.nnodes=1",
        "judge.endpoints=['http://[::1]:8000/v1']", "steps: 24",
    } <= lines  # fmt: skip
    steps = read_recipe(words[:-1], [*given, "trainer.total_training_steps=5"], environ, Topology()).numbers[-1]
    assert steps == "steps: 5"
    gone = read_recipe(words[:-1], given, {**environ, "TRAIN_FILES": "/gone.parquet"}, Topology()).numbers
    assert not any(line.startswith("steps") for line in gone)


@pytest.mark.parametrize("key", ["sk-sécret", "sk-secret\nsecond", "sk-\x7fsecret"])
@pytest.mark.parametrize("source", ["VISUAL_ERM_API_KEY", "API_KEY_FILE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_key_that_no_header_takes_stops_the_launch_by_the_name_of_its_source(tmp_path, monkeypatch, capsys, source, key):
    (tmp_path / "key").write_text(key, encoding="utf-8")
    value = str(tmp_path / "key") if source.endswith(("FILE", "PATH")) else key
    given = {
        "NODE_RANK": "0",
        "NNODES": "4",
        "MASTER_ADDR": "10.0.0.1",
        **DATA,
        "JUDGE_URLS": "http://a:1/v1",
        source: value,
    }
    given.pop("ENDPOINTS_FILE", None)
    monkeypatch.delenv("ENDPOINTS_FILE", raising=False)
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    recipe = ["task=table", "policy=qwen3vl_8b", "engine=megatron", "cluster=32gpu", "run_dir=outputs/run", "--"]
    monkeypatch.setattr(sys, "argv", ["launch", *recipe])
    with pytest.raises(SystemExit, match="2"):
        launch.main()
    output = "".join(capsys.readouterr())
    assert "characters that an HTTP header does not take" in output and "cret" not in output
    assert (value if value != key else source) in output


@pytest.mark.parametrize("key", ["sk-sécret", "sk-secret\nsecond", "sk-\tsecret"])
def test_a_batch_job_refuses_such_a_key_before_anything_starts(tmp_path, key):
    script = PROJECT / "slurm" / "train_with_reward_model.sbatch"
    environ = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2", "VISUAL_ERM_API_KEY": key}
    command = ["bash", str(script), str(RECIPES[0])]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "VISUAL_ERM_API_KEY holds characters" in done.stderr and "cret" not in done.stderr + done.stdout
    assert not [*tmp_path.rglob("api_key")]


def test_a_worker_joins_the_head_and_one_machine_or_one_gpu_is_a_matter_of_arguments():
    worker = dry(RECIPES[0], NODE_RANK="2", NNODES="4", MASTER_ADDR="10.0.0.1", RAY_PORT="6400", **DATA)
    assert "--address 10.0.0.1:6400" in worker.stdout and len(worker.stdout.splitlines()) == 1
    for gpus, engine in (("8", "megatron"), ("1", "fsdp")):
        alone = dry(RECIPES[0], GPUS=gpus, MODEL_PATH="/models/policy", **DATA)
        assert alone.returncode == 0, alone.stderr
        words = set(shlex.split(alone.stdout.splitlines()[1]))
        assert {f"cluster={gpus}gpu", f"engine={engine}", "actor_rollout_ref.model.path=/models/policy"} <= words


@pytest.mark.parametrize("folder", ["plain", "with blank", "it's (mine)"])
def test_ray_is_run_by_a_python_whose_path_a_shell_takes_as_it_stands(monkeypatch, tmp_path, folder):
    python = tmp_path / folder / "venv" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$0"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    recipe = Recipe((), nodes=1, gpus=0, run_dir=tmp_path, ray_init={})
    command = ray_start(recipe, Topology(), LaunchSettings(), "n1", None, 10001)
    for _ in range(2):  # Ray may be started again.
        environ = {"PATH": os.defpath, "TMPDIR": str(tmp_path)}
        run = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, check=True)
    executable = run.stdout.strip()
    assert Path(executable).resolve() == python
    assert shlex.quote(executable) == executable


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        ([], {"NODE_RANK": ""}, "this recipe is for 4 nodes of 8 GPUs, and nothing says which of them this is"),
        (["trainer.nnodes=2"], {}, "trainer.nnodes=2, but there are 4 nodes; leave it out"),
        (["trainer.nnode=2"], {}, "Could not override 'trainer.nnode'"),
        (["table"], {}, "`table`: give key=value"),
        ([], {"VAL_FILES": ""}, "`data.val_files` is not set; give VAL_FILES=… in the environment"),
        ([], {"RAY_PORT": "ray"}, "RAY_PORT=ray: must be a number"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2_before_ray_starts(monkeypatch, capsys, words, environ, message):
    given = {"NODE_RANK": "0", "NNODES": "4", "MASTER_ADDR": "10.0.0.1", **DATA, **environ}
    if not given["NODE_RANK"]:
        given.pop("NNODES")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    recipe = ["task=table", "policy=qwen3vl_8b", "engine=megatron", "cluster=32gpu", "run_dir=outputs/run", "--"]
    monkeypatch.setattr(sys, "argv", ["launch", *recipe, *words])
    with pytest.raises(SystemExit, match="2"):
        launch.main()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("visual_erm.launch: ") and message in last


@pytest.mark.parametrize(("up", "starts"), [(False, 3), (True, 1)], ids=["that does not come up", "that was up"])
def test_ray_is_started_again_before_it_is_up_and_not_after(up, starts, tmp_path, monkeypatch):
    count = tmp_path / "count"
    monkeypatch.setattr(node, "ray_start", lambda *_: f"sh -c 'echo >> {count}; echo busy; exit 1'")
    recipe = Recipe((), nodes=1, gpus=0, run_dir=tmp_path, ray_init={})
    ray = node.Ray(recipe, Topology(), launch.LaunchSettings(), None, os.environ)
    deadline = time.monotonic() + 60
    while (output := ray.ended(up)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    ray.end()
    assert output == "busy"
    assert count.read_text().count("\n") == starts


def test_the_head_names_nodes_that_are_missing_and_refuses_strangers(tmp_path):
    recipe = Recipe((), nodes=3, gpus=8, run_dir=tmp_path, ray_init={})
    topology = Topology(0, 3, "h", ("gpu7", "gpu8", "gpu9"))

    def there(name: str, gpus: float = 8) -> Node:
        return Node(name, True, gpus, "10.0.0.1", 1)

    assert check_nodes([there("rank0-gpu7"), there("rank2-gpu9")], recipe, topology) == ["gpu8 (rank 1)"]
    for nodes, message in (
        ([there("rank0-gpu7"), there("rank0-gpu8")], "rank 0 joined twice"),
        ([there("rank1-gpu8", 4)], r"gpu8 \(rank 1\) has 4 GPUs, and the recipe needs 8"),
        ([there("rank3-gpu1")], "none of the run's 3 nodes"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_nodes(nodes, recipe, topology)


def test_the_token_is_its_owners_alone_and_gone_with_the_head(tmp_path):
    file = tmp_path / "run" / token.FILE
    with token.create(file) as secret:
        assert len(secret) == 64
        assert file.stat().st_mode & 0o777 == 0o600
        assert token.read(file) == secret
        file.chmod(0o644)
        with pytest.raises(ConfigError, match="others than its owner can read"):
            token.read(file)
    assert token.read(file) is None


def test_what_a_node_runs_outlives_the_signal_that_time_is_up_but_not_the_node():
    child = GuardedProcess(["sh", "-c", "echo up; sleep 300"], os.environ, 2.0, quiet=True)
    found = psutil.Process(child._process.pid)
    deadline = time.monotonic() + 30
    while "up" not in child.output():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    everything = [found, *found.children(recursive=True)]
    for process in everything:
        process.send_signal(signal.SIGUSR1)
    time.sleep(0.5)
    assert child.poll() is None
    child.end()
    assert not any(process.is_running() for process in everything)


def test_the_shell_scripts_are_as_shellcheck_wants_them():
    patterns = ("rl_scripts/*.sh", "slurm/*", "requirements/*.sh", ".ci/*")
    scripts = [path for pattern in patterns for path in PROJECT.glob(pattern)]
    command = [Path(sys.executable).with_name("shellcheck"), "-x", *scripts]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert checked.returncode == 0, checked.stdout + checked.stderr
