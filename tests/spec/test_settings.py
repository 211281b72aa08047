"""Wrong settings: every problem at once, each with the file, the key and the nearest valid key."""

from typing import Annotated, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import Field

from visual_erm.errors import ConfigError
from visual_erm.spec.base import Settings, plain, read_yaml, renamed, shipped, validate
from visual_erm.spec.judge import JudgeSettings, load_judge_settings


class Color(Settings):
    red: int = 0
    green: int = 0


class Picture(Settings):
    width: int
    height: int
    color: Color = Color()
    frame: Color | None = None


class Round(Settings):
    kind: Literal["round"]
    radius: int


class Square(Settings):
    kind: Literal["square", "box"]
    side: int = 1
    color: Color = Color()


class Album(Settings):
    shape: Annotated[Round | Square, Field(discriminator="kind")]
    images: dict[str, Picture] = Field(default_factory=dict)


def problems(model, content) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(model, content, "my.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("1_000", "number 1000"), ("0x1F", "number 31"), ("010", "number 8"), ("1.10", "number 1.1"),
        ("on", "truth value True"), ("no", "truth value False"), ("2026-11-28", "date 2026-11-28"), ("12:30", "number 750"),
        (".inf", "number inf"),
    ],
)  # fmt: skip
def test_text_that_yaml_reads_as_something_else_is_told_with_what_and_how_to_keep_it_text(tmp_path, written, kind):
    file = tmp_path / "judge.yaml"
    for text, quoted in ((written, False), (f'"{written}"', True)):
        file.write_text(f"kind: remote\nendpoints: [http://a/v1]\nmodel: {text}\n")
        if quoted:
            assert load_judge_settings(str(file)).model == written
            continue
        with pytest.raises(ConfigError) as caught:
            load_judge_settings(str(file))
        assert str(caught.value) == f"{file}: key `model`: must be text, but YAML reads it as the {kind}; put it in quotes"


def test_a_misspelt_key_is_told_with_file_key_and_nearest_key():
    content = {"width": 1, "height": 2, "color": {"gren": 3}, "frame": {"rad": 1}}
    assert problems(Picture, content) == [
        "my.yaml: unknown key `color.gren`; did you mean `green`?",
        "my.yaml: unknown key `frame.rad`; did you mean `red`?",
    ]


def test_a_key_like_no_other_is_told_with_all_valid_ones():
    content = {"width": 1, "height": 2, "zzz": 3}
    assert problems(Picture, content) == ["my.yaml: unknown key `zzz`; valid keys: color, frame, height, width"]


def test_settings_of_a_kind_are_told_as_they_are_written_with_the_keys_of_that_kind():
    assert problems(Album, {"shape": {"kind": "box", "radus": 3, "color": {"gren": 1}, "side": "long"}}) == [
        "my.yaml: key `shape.side`: Input should be a valid integer, unable to parse string as an integer (got 'long')",
        "my.yaml: unknown key `shape.color.gren`; did you mean `green`?",
        "my.yaml: unknown key `shape.radus`; valid keys: color, kind, side",
    ]
    assert problems(Album, {"shape": {"kind": "round", "radus": 3}}) == [
        "my.yaml: missing key `shape.radius`",
        "my.yaml: unknown key `shape.radus`; did you mean `radius`?",
    ]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({}, "missing key `shape.kind`; give one of box, round, square"),
        ({"kind": "rund"}, "key `shape.kind`: must be one of box, round, square (got 'rund')"),
        ({"kind": ["round"]}, "key `shape.kind`: must be one of box, round, square (got \"['round']\")"),
    ],
)
def test_an_unknown_kind_is_told_with_the_valid_ones(shape, told):
    assert problems(Album, {"shape": shape}) == [f"my.yaml: {told}"]


def test_settings_under_names_of_ones_own_are_told_with_the_name():
    content = {"shape": {"kind": "box"}, "images": {"mine": {"width": 1, "height": 2, "color": {"rad": 1}, "hight": 2}}}
    assert problems(Album, content) == [
        "my.yaml: unknown key `images.mine.color.rad`; did you mean `red`?",
        "my.yaml: unknown key `images.mine.hight`; did you mean `height`?",
    ]


def test_all_problems_are_told_at_once():
    told = problems(Picture, {"widht": 1, "height": "tall", "color": {"red": [1]}})
    assert len(told) == 4
    assert all(line.startswith("my.yaml: ") for line in told)
    for part in ("did you mean `width`", "missing key `width`", "key `height`: ", "(got 'tall')", "key `color.red`: "):
        assert any(part in line for line in told)


@pytest.mark.parametrize("content", [None, 3, "text", [], [1]])
def test_what_is_no_mapping_is_told(content):
    assert problems(Picture, content)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_must_be_finite(number):
    assert "timeout_s" in problems(JudgeSettings, {"kind": "local", "timeout_s": number})[0]


def test_settings_cannot_be_changed_by_accident():
    with pytest.raises(ValueError, match="frozen"):
        Color().red = 1


def test_hydras_containers_are_read_like_plain_ones():
    node = OmegaConf.create({"kind": "remote", "endpoints": ["http://a/v1", "http://${host}/v1"], "host": "b"})
    node = OmegaConf.masked_copy(node, ["kind", "endpoints", "host"])
    assert plain(node)["endpoints"] == ["http://a/v1", "http://b/v1"]


# Files


def test_broken_yaml_is_told_with_file_line_and_column(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("kind: local\nocr_workers: [1, 2\ncache_size: 3\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not valid YAML.*line 3, column"):
        read_yaml(file)


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text", "3"])
def test_a_file_without_a_mapping_is_told(tmp_path, content):
    file = tmp_path / "odd.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"odd\.yaml: expected a mapping"):
        read_yaml(file)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "nowhere.yaml")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml") / "any.yaml"


@given(st.binary() | st.text(st.sampled_from("[]{}:,-&*!|>'\"%@ \n\ta1")).map(str.encode))
@example(b"when: 2021-99-99")
@example(b"a: &a [*a]")
@example(b"\xff\xfe")
@example(b"[" * 5000)
@example(b"? {a: 1}\n: 2")
def test_any_file_is_a_mapping_or_a_config_error(scratch, content):
    scratch.write_bytes(content)
    try:
        read = read_yaml(scratch)
        validate(Picture, read, str(scratch))
    except ConfigError as error:
        assert "any.yaml" in str(error)


# Judge settings


@pytest.mark.parametrize("name", ["local"])
def test_shipped_judges_are_valid(name):
    assert load_judge_settings(name) == load_judge_settings(shipped("configs") / "judge" / f"{name}.yaml")


def test_the_shipped_remote_judge_asks_for_endpoints():
    with pytest.raises(ConfigError, match=r"remote\.yaml: needs `endpoints`"):
        load_judge_settings("remote")


def test_a_url_is_a_remote_judge():
    settings = load_judge_settings("http://10.0.0.1:8000/v1")
    assert (settings.kind, settings.endpoints) == ("remote", ("http://10.0.0.1:8000/v1",))


def test_an_unknown_judge_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match="no judge `remot`; known: colocated, local, remote"):
        load_judge_settings("remot")


def test_a_misspelt_judge_setting_is_told():
    with pytest.raises(ConfigError, match=r"judge: unknown key `failure\.windw`; did you mean `window`\?"):
        load_judge_settings({"kind": "local", "failure": {"windw": 3}})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"savings": {"cache": False}}, "unknown key `savings`; it is called `reuse` now"),
        ({"patience_s": 3}, "unknown key `patience_s`; it is called `unavailable_timeout_s` now"),
    ],
)
def test_an_old_judge_key_is_told_with_its_new_name(content, told):
    with pytest.raises(ConfigError) as caught:
        load_judge_settings({"kind": "local", **content})
    assert str(caught.value) == f"judge: {told}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("task.guard.silence.likeness", "task.guard.under_reporting.min_similarity"),
        ("judge.savings.cache_dir", "judge.reuse.cache_dir"),
        ("task.tasks.chart.render.renderer", "task.tasks.chart.kind"),
        ("trainer.v1.sampler.sampler_kwargs.fatal", "trainer.v1.sampler.sampler_kwargs.abort_file"),
        ("task.guard.injection.enabled", ""),
    ],
)
def test_a_renamed_key_is_found_inside_of_a_longer_one(old, new):
    assert renamed(old) == new
