"""The recipe as Hydra composes it, and what is refused before anything starts."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hydra")

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from visual_erm import train
from visual_erm.errors import ConfigError
from visual_erm.judge import load_judge_settings
from visual_erm.settings import shipped
from visual_erm.task import load_task


def recipe(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(shipped("configs")), version_base="1.3"):
        return compose(
            "grpo", ["cluster=cpu", "policy=tiny", f"hydra.searchpath=[file://{train.verl_configs()}]", *overrides]
        )


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Overrides that point to a model folder and data files which exist."""
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    data.mkdir()
    for name in ("train", "test"):
        (data / f"{name}.parquet").touch()
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


def test_paths_are_absolute_before_veRL_sees_them(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = ["run_dir=run", "data.train_files=data/train.parquet", "actor_rollout_ref.model.path=model"]
    config = recipe(*files, *relative)
    train.prepare(config)
    given = config.reward.custom_reward_function
    assert given.path == str(shipped("reward_func") / "visual_equivalence.py")
    assert given.reward_kwargs.journal == str(tmp_path / "run/journal")
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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+task.scoring.smax=3"], "task table: unknown key `scoring.smax`; did you mean `s_max`?"),
        (["judge=remote"], "a remote judge needs `endpoints`"),
        (["data.train_files=nowhere.parquet"], "data.train_files: {here}/nowhere.parquet does not exist; make it with"),
        (["data.val_files=null"], "`data.val_files` is not set; give data.val_files=…"),
        (["actor_rollout_ref.model.path=gone"], "actor_rollout_ref.model.path: no folder {here}/gone"),
        (["reward.custom_reward_function.path=no.py"], "reward.custom_reward_function.path: no.py does not exist"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_before_anything_starts(files, tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        train.prepare(recipe(*files, *overrides))
    assert message.format(here=tmp_path) in str(caught.value)


def test_a_model_may_be_a_name_on_the_hub_unless_the_run_is_offline(files):
    online = recipe(*files, "actor_rollout_ref.model.path=Qwen/Qwen3-VL-8B-Instruct", "env.HF_HUB_OFFLINE='0'")
    train.prepare(online)
    assert online.actor_rollout_ref.model.path == "Qwen/Qwen3-VL-8B-Instruct"
    with pytest.raises(ConfigError, match="no folder"):
        train.prepare(recipe(*files, "actor_rollout_ref.model.path=Qwen/Qwen3-VL-8B-Instruct"))


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
    assert load_judge_settings(config.judge).endpoints == ("http://HOST:8000/v1",)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "`data.train_files` is not set; give data.train_files=… on the command line"),
        (["cluster=cpu", "policy=tinny"], "Could not find 'policy/tinny' Available options in 'policy': tiny"),
        (["cluster=cpu", "policy=tiny", "trainer.totl_epochs=2"], "Could not override 'trainer.totl_epochs'"),
        (["cluster=cpu", "policy=tiny", "data.train_files=nowhere.parquet"], "nowhere.parquet does not exist"),
    ],
)
def test_the_command_ends_with_one_line_and_exit_code_2(tmp_path, overrides, message):
    command = [sys.executable, "-m", "visual_erm.train", f"run_dir={tmp_path / 'run'}", *overrides]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("visual_erm.train: ")
    assert message in line


def books(tmp_path: Path, steps: int, scored: int, before: int = 0) -> train.Books:
    """A run's books: `steps` of two rollouts each in veRL's metrics, `scored` training rollouts in the journal."""
    journal = tmp_path / "journal"
    journal.mkdir()
    (journal / "a.jsonl").write_text('{"split": "train"}\n' * scored + '{"split": "test"}\n')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "data": {"training/global_step": 1}}\n' * steps)
    return train.Books(journal, tmp_path / "metrics.jsonl", per_step=2, before=before)


def test_books_that_balance_pass_whatever_the_journal_held_before(tmp_path):
    books(tmp_path, steps=3, scored=10, before=4).check()


@pytest.mark.parametrize(("steps", "scored"), [(3, 5), (3, 7), (0, 0)])
def test_a_missing_reward_or_one_too_many_is_an_error(tmp_path, steps, scored):
    with pytest.raises(train.RunIncomplete, match=f"{scored} rollouts were scored, {2 * steps} expected"):
        books(tmp_path, steps, scored).check()


def test_a_plain_copy_of_the_recipe_has_nothing_left_to_resolve_but_veRLs_own(files):
    config = recipe(*files)
    train.prepare(config)
    missing = OmegaConf.missing_keys(config)
    assert not {key for key in missing if not key.startswith("reward.reward_model")}
