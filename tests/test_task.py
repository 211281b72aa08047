"""Task files: one schema for Hydra and the command line, and errors that name the file and the key."""

import pytest
import yaml
from omegaconf import OmegaConf

from visual_erm.errors import ConfigError
from visual_erm.settings import shipped
from visual_erm.task import Task, load_task

SHIPPED = sorted(path.stem for path in (shipped("configs") / "task").glob("*.yaml"))


def changed(**parts) -> dict:
    """The table task with some keys of its parts replaced."""
    content = load_task("table").model_dump()
    for part, values in parts.items():
        content[part] = content[part] | values if isinstance(values, dict) else values
    return content


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_tasks_are_valid_and_named_like_their_file(name):
    assert load_task(name).name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_name_file_mapping_and_hydra_node_give_the_same_task(name, tmp_path):
    file = shipped("configs") / "task" / f"{name}.yaml"
    content = yaml.safe_load(file.read_text())
    copy = tmp_path / "copy.yml"
    copy.write_text(file.read_text())
    tasks = [load_task(source) for source in (name, file, str(file), copy, content, OmegaConf.create(content))]
    assert all(isinstance(task, Task) and task == tasks[0] for task in tasks)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_task_survives_being_written_down(name):
    assert load_task(load_task(name).model_dump()) == load_task(name)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_prompt_asks_for_the_keys_and_categories_that_are_read(name):
    task = load_task(name)
    words = [*task.report.categories, *(f"{category}_count" for category in task.report.categories), *task.report.keys]
    assert [word for word in [*words, "errors"] if word not in task.judge.prompt] == []


def test_the_table_task_follows_the_published_one():
    task = load_task("table")
    assert task.judge.image.model_dump() == {"longest_side": 768, "format": "png"}
    assert task.judge.sampling.model_dump(exclude_none=True) == {
        "temperature": 0,
        "repetition_penalty": 1.05,
        "max_tokens": 8192,
    }
    assert task.report.categories == ["layout_error", "text_error", "numeric_error"]
    assert task.report.keys == ["type", "description", "severity"]
    assert task.judge.system


def test_an_unknown_task_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no task `tabel`; known: .*table"):
        load_task("tabel")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"mine\.yaml: cannot be read"):
        load_task(tmp_path / "mine.yaml")


def test_every_problem_of_a_file_is_told_with_its_name(tmp_path):
    file = tmp_path / "mine.yaml"
    content = changed(render={"timeout": 3}, scoring={"mode": "fixd"})
    del content["judge"]["prompt"]
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_task(file)
    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert all(line.startswith(str(file)) for line in told)
    assert any("unknown key `render.timeout`; did you mean `timeout_s`?" in line for line in told)
    assert any("missing key `judge.prompt`" in line for line in told)
    assert any("`scoring.mode`" in line and "'fixd'" in line for line in told)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"languages": []}, "languages"),
        ({"languages": ["html", "latex"]}, "languages.1"),
        ({"render": {"timeout_s": 0}}, "render.timeout_s"),
        ({"render": {"max_pixels": 0}}, "render.max_pixels"),
        ({"report": {"categories": []}}, "report.categories"),
        ({"report": {"categories": ["a", "a"]}}, "report.categories"),
        ({"report": {"keys": ["severity", "description"]}}, "report.keys"),
        ({"report": {"keys": ["type", "category", "severity", "description"]}}, "report.keys"),
        ({"report": {"keys": ["type", "severity"]}}, "report.keys"),
        ({"report": {"keys": ["type", "severity", "severity", "description"]}}, "report.keys"),
        ({"report": {"keys": ["type", "severity", "description", "colour"]}}, "report.keys"),
        ({"report": {"max_text": 5000}}, "report.max_text"),
        ({"scoring": {"s_max": -1}}, "scoring.s_max"),
        ({"scoring": {"render_reward": -0.5}}, "scoring.render_reward"),
        ({"scoring": {"raw_minimum": 2}}, "scoring.raw_minimum"),
        ({"judge": {"sampling": {"temperature": -1, "max_tokens": 10}}}, "judge.sampling.temperature"),
        ({"judge": {"image": {"longest_side": 0, "format": "png"}}}, "judge.image.longest_side"),
    ],
)
def test_values_that_make_no_sense_are_told_with_their_key(wrong, key):
    with pytest.raises(ConfigError, match=f"task table: key `{key}`"):
        load_task(changed(**wrong))
