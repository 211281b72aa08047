"""Task files: one schema for Hydra and the command line, and errors that name the file and the key."""

import pickle
import re

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from visual_erm.errors import ConfigError
from visual_erm.spec.base import shipped
from visual_erm.spec.task import Task, load_task, load_tasks

SHIPPED = sorted(path.stem for path in (shipped("configs") / "task").glob("*.yaml") if path.stem != "mixed")


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
    assert task.judge.image.model_dump() == {"longest_side": 768, "format": "png", "encoding": "default"}
    assert task.judge.sampling.model_dump(exclude_none=True) == {
        "temperature": 0,
        "repetition_penalty": 1.05,
        "max_tokens": 8192,
    }
    assert task.report.categories == ["layout_error", "text_error", "numeric_error"]
    assert task.report.keys == ["type", "description", "severity"]
    assert task.judge.system


@pytest.mark.parametrize(
    ("name", "languages", "categories"),
    [
        ("chart", ["python"], ["structure_error", "data_error", "text_error", "style_error"]),
        ("svg", ["svg"], ["structure_error", "shape_error", "style_error", "text_symbol_error"]),
    ],
)
def test_charts_and_drawings_follow_the_published_ones(name, languages, categories):
    task = load_task(name)
    assert (task.languages, task.report.categories) == (languages, categories)
    assert task.report.keys == ["category", "severity", "location", "description"]
    assert task.judge.system is None
    assert task.judge.image.model_dump() == {"longest_side": 1024, "format": "jpeg", "encoding": "default"}
    assert task.judge.sampling.model_dump(exclude_none=True) == {
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "presence_penalty": 1.5,
        "max_tokens": 4096,
    }
    assert (task.scoring.mode, task.scoring.s_max, task.scoring.render_reward) == ("fixed", 50, 1)


def test_published_drawings_are_small_squares_on_white():
    render = load_task("svg").render
    assert (render.width, render.height, render.background, render.timeout_s) == (336, 336, "white", 10)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_task_file_names_every_setting_of_its_renderer(name):
    """Each file is its own manual."""
    written = yaml.safe_load((shipped("configs") / "task" / f"{name}.yaml").read_text())["render"]
    render = load_task(name).render
    assert set(written) == set(type(render).model_fields)
    assert set(written.get("sandbox", {})) == set(type(render.sandbox).model_fields if "sandbox" in written else {})


@pytest.mark.parametrize("name", SHIPPED)
def test_every_prompt_prices_what_is_absent_by_what_it_held(name):
    prompt = " ".join(load_task(name).judge.prompt.split())
    assert re.search(r"missing.* entry for every|absent .* entry for everything that it held", prompt)


# Mixtures


def test_a_mixture_by_name_is_the_tasks_that_it_names():
    assert load_tasks("mixed") == {name: load_task(name) for name in ("table", "chart", "svg")}


def test_a_single_task_is_a_mixture_of_one():
    assert load_tasks("table") == load_tasks({**load_task("table").model_dump()}) == {"table": load_task("table")}


@pytest.mark.parametrize("form", ["name", "mapping"])
def test_a_mixture_where_one_task_is_wanted_names_what_to_choose(form):
    content = {"name": "mixed", "tasks": {name: task.model_dump() for name, task in load_tasks("mixed").items()}}
    with pytest.raises(ConfigError, match=r"mixed.* holds several tasks; choose one of table, chart, svg"):
        load_task("mixed" if form == "name" else content)


def test_a_mixture_of_ones_own_takes_shipped_and_own_tasks_and_has_the_last_word(tmp_path):
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(changed(name="small")))
    mine = tmp_path / "mine.yaml"
    overrides = "name: mine\ntasks: {plots: {scoring: {s_max: 30}}}\n"
    mine.write_text("defaults: [small@tasks.small, chart@tasks.plots, _self_]\n" + overrides)
    tasks = load_tasks(mine)
    assert list(tasks) == ["small", "plots"]
    assert (tasks["small"].name, tasks["plots"].scoring.s_max, tasks["plots"].scoring.mode) == ("small", 30, "fixed")
    assert tasks["plots"].model_copy(update={"scoring": load_task("chart").scoring}) == load_task("chart")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: [chrt@tasks.chart]\nname: a\n", r"mine\.yaml: `defaults` names 'chrt'.*known: chart, mixed"),
        ("defaults: 3\nname: a\n", r"mine\.yaml: .*defaults"),
        ("name: a\ntasks: {}\n", "key `tasks`: "),
        ("name: a\ntasks: [1]\n", "key `tasks`: "),
        ("name: a\ntasks:\n", "key `tasks`: "),
        ("name: a\ntasks: {chart: {name: b}}\n", r"missing key `tasks\.chart\.kind`; give one of chart, svg, table"),
        ("name: a\ntasks: {chart: {kind: graph}}\n", r"key `tasks\.chart\.kind`: must be one of chart, svg, table"),
        (
            "defaults: [chart@tasks.chart]\nname: a\ntasks: {chart: {render: {dpii: 3}}}\n",
            r"unknown key `tasks\.chart\.render\.dpii`; did you mean `dpi`\?",
        ),
    ],
)
def test_what_is_wrong_with_a_mixture_is_told(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_tasks(tmp_path / "mine.yaml")


def test_a_task_of_ones_own_may_be_a_shipped_one_with_other_values(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("defaults: [chart, _self_]\nname: mine\nscoring: {s_max: 30}\n")
    task, chart = load_task(mine), load_task("chart")
    assert (task.name, task.scoring.s_max, task.judge.prompt) == ("mine", 30, chart.judge.prompt)


def test_composing_a_mixture_leaves_the_hydra_application_around_it_alone(tmp_path):
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        (tmp_path / "outer.yaml").write_text("a: 1\n")
        load_tasks("mixed")
        assert compose("outer") == {"a": 1}


# What is wrong


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
        ({"kind": "graph"}, "kind"),
        ({"render": 3}, "render"),
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


def test_a_background_that_is_no_color_is_told_with_its_key():
    content = load_task("svg").model_dump()
    content["render"]["background"] = "whitish"
    with pytest.raises(ConfigError, match=r"`render\.background`.*whitish"):
        load_task(content)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"guard": {"silence": {"at_most": 5}}}, "unknown key `guard.silence`; it is called `guard.under_reporting` now"),
        (
            {"guard": {"under_reporting": {"at_most": 5}}},
            "unknown key `guard.under_reporting.at_most`; leave it out: the floor holds whatever the report says",
        ),
        (
            {"guard": {"under_reporting": {"max_severity": 3}}},
            "unknown key `guard.under_reporting.max_severity`; leave it out: the floor holds whatever the report says",
        ),
        (
            {"guard": {"under_reporting": {"likeness": 0.4}}},
            "unknown key `guard.under_reporting.likeness`; it is called `guard.under_reporting.min_similarity` now",
        ),
        (
            {"guard": {"injection": {"kind": 0.4}}},
            "unknown key `guard.injection.kind`; it is called `guard.injection.check_below_severity_share` now",
        ),
    ],
)
def test_an_old_key_is_told_with_its_new_name(part, told):
    with pytest.raises(ConfigError) as caught:
        load_task(changed(**part))
    assert str(caught.value) == f"task table: {told}"
    with pytest.raises(ConfigError) as caught:
        load_tasks({"name": "mine", "tasks": {"t": changed(**part)}})
    assert str(caught.value) == f"task mine: {told.replace('`guard', '`tasks.t.guard')}"


def test_the_old_key_of_the_renderer_is_told_with_the_new_one():
    content = load_task("table").model_dump()
    del content["kind"]
    content["render"]["renderer"] = "table"
    with pytest.raises(ConfigError, match=r"^task table: unknown key `render\.renderer`; it is called `kind` now$"):
        load_task(content)


def test_a_task_survives_pickling():
    assert pickle.loads(pickle.dumps(load_task("svg"))) == load_task("svg")
