"""The recipe as Hydra composes it, and what is refused before anything starts."""

from __future__ import annotations

import importlib.util
import inspect
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("hydra")

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from visual_erm import train
from visual_erm.errors import ConfigError
from visual_erm.preflight.overrides import arguments, compose_recipe
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.prompts import Found, save_imported
from visual_erm.spec.task import load_task, load_tasks

KWARGS = "reward.custom_reward_function.reward_kwargs"


def recipe(*overrides: str) -> DictConfig:
    return compose_recipe(["cluster=cpu", "policy=tiny", *overrides])


def rows(file: Path, *rows: tuple[str, str]) -> None:
    """A parquet file with rows of these data sources and renderer versions."""
    content = [{"data_source": source, "extra_info": {"index": 0, "renderer_version": version}} for source, version in rows]
    pq.write_table(pa.Table.from_pylist(content), file)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Overrides that point to a model folder and data files which exist."""
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    data.mkdir()
    for name in ("train", "test"):
        rows(data / f"{name}.parquet", ("table", ""))
    return [
        f"run_dir={tmp_path / 'run'}",
        f"actor_rollout_ref.model.path={model}",
        f"data.train_files={data / 'train.parquet'}",
        f"data.val_files=[{data / 'test.parquet'}]",
    ]


def test_task_and_judge_in_the_recipe_are_those_that_the_command_line_reads():
    # Where the tiny policy wants its own, the paper's value.
    config = recipe("task=table", "judge=local", "task.scoring.s_max=50")
    assert load_task(config.task) == load_task("table")
    assert load_judge_settings(config.judge) == load_judge_settings("local")


def test_the_reward_function_gets_task_and_judge_as_overridden(files):
    config = recipe("judge=remote", "judge.endpoints=[http://10.0.0.1:8000/v1]", "task.scoring.s_max=18", *files)
    train.prepare(config)
    given = config.reward.custom_reward_function.reward_kwargs
    assert load_task(given.task).scoring.s_max == 18
    assert load_judge_settings(given.judge).endpoints == ("http://10.0.0.1:8000/v1",)


def test_paths_that_are_read_as_numbers_are_made_absolute_for_preflight_to_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = recipe("run_dir=2026_11_28", "data.train_files=[1e3]", "data.val_files=7", "actor_rollout_ref.model.path=42")
    train.prepare(config)
    paths = [config.run_dir, *config.data.train_files, *config.data.val_files]
    assert paths == [f"{tmp_path}/20261128", f"{tmp_path}/1000.0", f"{tmp_path}/7"]


def test_the_files_of_the_judge_are_found_from_every_worker(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("sk-x")
    names = {"endpoints_file": "endpoints.txt", "api_key_file": "key", "reuse.cache_dir": "cache"}
    config = recipe("judge=remote", *(f"judge.{name}={path}" for name, path in names.items()), *files)
    train.prepare(config)
    judge = load_judge_settings(config.reward.custom_reward_function.reward_kwargs.judge)
    assert [judge.endpoints_file, judge.api_key_file, judge.reuse.cache_dir] == [
        str(tmp_path / path) for path in names.values()
    ]


@pytest.mark.parametrize("task", ["table", "mixed"])
def test_the_reward_workers_get_the_text_of_each_prompt_whatever_their_home_holds(
    files, tmp_path, monkeypatch, caplog, task
):
    texts = {name: f"Published for {name}: {{errors}} ${{this}}" for name in ("table", "chart", "svg")}
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    save_imported({name: Found(text, tmp_path / "checkout.py", 3) for name, text in texts.items()})
    config = recipe(f"task={task}", *files)
    with caplog.at_level("INFO", "visual_erm.train"):
        train.prepare(config)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    given = load_tasks(config.reward.custom_reward_function.reward_kwargs.task)
    assert {name: texts[name] for name in given} == {name: loaded.judge.prompt for name, loaded in given.items()}
    said = [line for line in caplog.messages if "prompt of" in line]
    assert len(said) == len(given)
    assert all(
        f"prompt of {name}: imported from {tmp_path}/checkout.py, line 3, sha256 " in "".join(said) for name in given
    )


def test_a_run_with_the_projects_own_prompts_says_nothing_of_them(files, caplog):
    with caplog.at_level("INFO", "visual_erm.train"):
        config = recipe(*files)
        train.prepare(config)
    assert not [line for line in caplog.messages if "prompt" in line]
    assert config.task.judge.prompt == load_task("table").judge.prompt
    assert "prompt_file" not in config.task.judge


def test_a_prompt_can_be_given_on_the_command_line(files, tmp_path):
    (tmp_path / "mine.txt").write_text("Mine.", encoding="utf-8")
    for overrides in (
        [f"task.judge.prompt_file={tmp_path}/mine.txt"],
        ["task.judge.prompt_file=null", "+task.judge.prompt=Mine."],
    ):
        assert load_task(recipe(*files, *overrides).task).judge.prompt == "Mine."


def test_paths_are_absolute_before_veRL_sees_them(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = ["run_dir=run", "data.train_files=data/train.parquet", "actor_rollout_ref.model.path=model"]
    config = recipe(*files, *relative)
    train.prepare(config)
    given = config.reward.custom_reward_function
    assert given.path == str(shipped("reward_func") / "visual_equivalence.py")
    assert given.reward_kwargs.rollout_log == str(tmp_path / "run/rollout_log")
    assert given.reward_kwargs.data_root == str(tmp_path / "data")
    assert config.data.train_files == [str(tmp_path / "data/train.parquet")]
    assert config.actor_rollout_ref.model.path == str(tmp_path / "model")
    assert config.trainer.default_local_dir == str(tmp_path / "run/checkpoints")
    metrics = config.env.VERL_FILE_LOGGER_PATH
    assert metrics == str(tmp_path / "run/metrics.jsonl")


def test_steps_are_always_logged_to_the_file_that_they_are_counted_by(files):
    config = recipe(*files, "trainer.logger=console")
    train.prepare(config)
    assert config.trainer.logger == ["console", "file"]


def test_a_reward_function_of_ones_own_comes_before_the_projects(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "reward_func" / "visual_equivalence.py"
    mine.parent.mkdir()
    mine.touch()
    config = recipe(*files)
    train.prepare(config)
    assert config.reward.custom_reward_function.path == str(mine)


def test_the_recipe_keeps_the_papers_settings_where_the_tiny_policy_does_not_change_them():
    config = recipe()
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    assert (config.algorithm.adv_estimator, rollout.n) == ("grpo", 8)
    assert (actor.kl_loss_type, actor.kl_loss_coef, actor.entropy_coeff) == ("low_var_kl", 0.01, 0)
    assert (actor.use_kl_loss, config.data.train_batch_size, actor.ppo_mini_batch_size) == (False, 16, 16)


def test_everything_that_the_CPU_needs_is_in_the_cluster_group():
    config = recipe()
    assert config.env.VERL_USE_EXTERNAL_MODULES == "visual_erm.verl_cpu.platform"
    assert config.actor_rollout_ref.rollout.name == "hf_cpu"
    assert config.actor_rollout_ref.actor.optim.override_optimizer_config.freeze_vision_tower is True


# Other rewards


@pytest.mark.parametrize("reward", ["visual_erm", "teds", "edit_distance", "dino_similarity", "ssim"])
def test_a_reward_is_handed_what_it_takes_and_veRL_loads_it(files, tmp_path, reward):
    model = [f"{KWARGS}.model={tmp_path}/model"] if reward == "dino_similarity" else []
    config = recipe(*files, f"reward={reward}", *model)
    train.prepare(config)
    function = config.reward.custom_reward_function
    spec = importlib.util.spec_from_file_location("custom_reward", function.path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    takes = inspect.signature(getattr(module, function.name)).parameters
    assert function.reward_kwargs.keys() <= takes.keys()
    assert all(takes[key].kind is inspect.Parameter.KEYWORD_ONLY for key in function.reward_kwargs)
    assert function.reward_kwargs.rollout_log == str(tmp_path / "run/rollout_log")
    assert load_task(function.reward_kwargs.task).name == "table"
    assert config.reward.num_workers == 1, "what is not the function's own is veRL's and the cluster's"
    assert (config.reward.reward_manager.source, config.reward.reward_manager.name) == ("register", "naive")


@pytest.mark.parametrize("task", ["table", "mixed"])
def test_a_task_that_is_scored_by_the_batch_brings_the_manager_that_does_it(files, task):
    key = "task.scoring.mode" if task == "table" else "task.tasks.chart.scoring.mode"
    config = recipe(*files, f"task={task}", f"{key}=batch")
    train.prepare(config)
    manager = config.reward.reward_manager
    assert (manager.source, manager.name) == ("importlib", "BatchRewardManager")
    assert manager.module.path == str(shipped("reward_func") / "batch_manager.py")
    scored = load_tasks(config.trainer.v1.sampler.sampler_kwargs.batch_task)
    assert [name for name, loaded in scored.items() if loaded.scoring.mode == "batch"] == [
        "table" if task == "table" else "chart"
    ]
    config = recipe(*files, f"task={task}", f"{key}=batch", "reward=ssim")
    train.prepare(config)
    assert config.reward.reward_manager.name == "naive", "nothing of a judge's to normalise"


def test_a_task_of_the_mixture_can_be_changed_on_the_command_line(files):
    config = recipe("task=mixed", "task.tasks.chart.scoring.s_max=30", "run_dir=outputs/${task.name}")
    tasks = load_tasks(config.task)
    assert (tasks["chart"].scoring.s_max, tasks["svg"].scoring.s_max) == (30, 50)
    assert config.run_dir == "outputs/mixed"


def test_the_readmes_command_for_gpus_is_a_recipe_with_the_papers_settings(tmp_path):
    readme = (shipped("configs").parent / "README.md").read_text(encoding="utf-8")
    lines = readme[readme.index("python -m visual_erm.train") :].split("\n\n")[0].replace("\\\n", " ")
    model = tmp_path / "POLICY"
    model.mkdir()
    (tmp_path / "DATA").mkdir()
    for name in ("train", "test"):
        (tmp_path / "DATA" / f"{name}.parquet").touch()
    command = [sys.executable, *shlex.split(lines)[1:], "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    config = OmegaConf.create(done.stdout)
    assert (config.actor_rollout_ref.rollout.name, config.trainer.n_gpus_per_node) == ("vllm", 8)
    assert (config.data.train_batch_size, config.actor_rollout_ref.actor.use_kl_loss) == (256, True)
    assert load_judge_settings(config.judge).endpoints_file == "outputs/endpoints.txt"


def test_the_environment_reaches_every_process_of_the_run(files):
    config = recipe(*files, "+ray_kwargs.ray_init.runtime_env.env_vars.MINE=1")
    train.prepare(config)
    carried = config.ray_kwargs.ray_init.runtime_env.env_vars
    assert (carried.MINE, carried.HF_HUB_OFFLINE) == (1, "1")
    assert carried.VERL_FILE_LOGGER_PATH == config.env.VERL_FILE_LOGGER_PATH
    assert config.ray_kwargs.ray_init.num_gpus == 1


@pytest.mark.parametrize("path", ["/opt/my env/bin/python", "/opt/it's/bin/python", "/opt/a;b/bin/python"])
def test_workers_start_from_a_path_that_a_shell_would_take_apart(files, path, monkeypatch):
    monkeypatch.setattr(sys, "executable", path)
    config = recipe(*files)
    train.prepare(config)
    assert shlex.split(config.ray_kwargs.ray_init.runtime_env.py_executable) == [path]


def test_python_of_ones_own_is_kept(files, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/my env/bin/python")
    config = recipe(*files, "ray_kwargs.ray_init.runtime_env.py_executable=python3")
    train.prepare(config)
    assert config.ray_kwargs.ray_init.runtime_env.py_executable == "python3"


def test_a_cluster_that_runs_already_has_the_size_it_has(files):
    config = recipe(*files, "+ray_kwargs.ray_init.address=10.0.0.1:6379")
    train.prepare(config)
    assert {*config.ray_kwargs.ray_init} == {"address", "runtime_env"}


def test_a_task_may_be_a_file_of_ones_own_with_its_prompt_beside_it(tmp_path):
    mine, plain = tmp_path / "mine", read_yaml(shipped("configs") / "task" / "table.yaml")
    (mine / "texts").mkdir(parents=True)
    (mine / "form.yaml").write_text(yaml.safe_dump(plain | {"judge": {**plain["judge"], "prompt_file": "texts/form.txt"}}))
    (mine / "texts" / "form.txt").write_text("Compare the two forms.")
    command = [sys.executable, "-m", "visual_erm.train", "cluster=cpu", "policy=tiny", f"task={mine / 'form.yaml'}"]
    shown = subprocess.run([*command, "--cfg", "job"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "prompt_file: texts/form.txt" in shown.stdout, shown.stderr
    assert load_tasks(yaml.safe_load(shown.stdout)["task"], [mine])["table"].judge.prompt == "Compare the two forms."


@pytest.mark.parametrize(
    ("name", "message"), [("form.yaml", "form.yaml does not exist"), ("table.yaml", "has the name of a task of this")]
)
def test_a_task_file_that_cannot_be_meant_is_refused(tmp_path, name, message):
    (tmp_path / "table.yaml").write_text("name: table")
    with pytest.raises(ConfigError, match=message):
        arguments([f"task={tmp_path / name}"], tmp_path / "folder")


def test_a_plain_copy_of_the_recipe_has_nothing_left_to_resolve_but_veRLs_own(files):
    config = recipe(*files)
    train.prepare(config)
    missing = OmegaConf.missing_keys(config)
    assert not {key for key in missing if not key.startswith("reward.reward_model")}
