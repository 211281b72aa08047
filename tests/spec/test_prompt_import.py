"""Prompts in files, and the published ones out of a made-up checkout: its Python is read, and never run."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from visual_erm.errors import ConfigError
from visual_erm.preflight import doctor
from visual_erm.spec import prompt_import, prompts
from visual_erm.spec.base import shipped
from visual_erm.spec.prompt_import import find_evaluation, find_published
from visual_erm.spec.prompts import digest, evaluation_prompt, imported_prompts, save_imported, shipped_prompts
from visual_erm.spec.task import load_task, load_tasks

TASKS = ("chart", "svg", "table")
CHART = 'Look at two charts. {"errors": []}\nstructure_error, data_error, text_error or style_error?  \n'
SVG = (
    "  Look at two drawings: errors are structure_error, shape_error, style_error, text_symbol_error; ${not} {a} field {0}"
)
TABLE = "Look at two tables. layout_error\n\ttext_error numeric_error: {errors} \\n \N{BLACK HEART SUIT}"
TEXTS = {"chart": CHART, "svg": SVG, "table": TABLE}
OWN = {task: load_task(task).judge.prompt for task in TASKS}


def constants(chart: str = repr(CHART), svg: str = repr(SVG)) -> str:
    return f"import nowhere\n\nPROMPT_A = {chart}\nURL = f'http://{{nowhere.HOST}}'\nPROMPT_B: str = {svg}\n"


def function(*lines: str, before: str = "") -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"{before}\n\nclass Client:\n    pass\n\n\ndef build_error_prompt_for_images(*pictures):\n{body}\n"


def checkout(root: Path, utils: str | None = None, table: str | None = None) -> Path:
    folder = root / "rl_scripts" / "reward_func"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reward_utils.py").write_text(constants() if utils is None else utils, encoding="utf-8")
    table = function(f"return {TABLE!r}") if table is None else table
    (folder / "table_parse_rm_v2.py").write_text(table, encoding="utf-8")
    return root


def texts(root: Path) -> dict[str, str]:
    return {task: found.text for task, found in find_published(root).items()}


def in_use() -> dict[str, str]:
    return {task: load_task(task).judge.prompt for task in TASKS}


def visual_erm(*words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "visual_erm.cli", "prompts", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration directory for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


# From the command line


def test_imported_prompts_are_in_use_until_they_are_forgotten(tmp_path: Path, configuration: Path) -> None:
    said = visual_erm("import", checkout(tmp_path / "theirs")).stdout
    assert all(digest(text)[:12] in said for text in TEXTS.values())
    assert in_use() == TEXTS
    assert load_tasks("mixed") == {task: load_task(task) for task in ("table", "chart", "svg")}
    assert sorted(file.name for file in (configuration / "visual-erm" / "prompts").iterdir()) == [
        "chart.txt",
        "origin.yaml",
        "svg.txt",
        "table.txt",
    ]
    record = yaml.safe_load((configuration / "visual-erm" / "prompts" / "origin.yaml").read_text(encoding="utf-8"))
    source = tmp_path / "theirs" / "rl_scripts" / "reward_func" / "reward_utils.py"
    assert record["prompts"]["svg"] == {"path": str(source), "line": 5, "sha256": digest(SVG)}
    visual_erm("forget")
    assert in_use() == OWN
    assert "none was imported" in visual_erm("forget").stdout


def evaluation(root: Path, **replaced: str) -> Path:
    """The published evaluation, with its three functions or what replaces one of them."""
    folder = root / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    functions = {
        name: f"def build_prompt_for_{name}() -> str:\n    prompt = 'Compare two of them: {name}'\n    return prompt\n"
        for name in TASKS
    }
    text = "import nowhere\nclient = nowhere.Client()\n" + "\n".join({**functions, **replaced}.values())
    (folder / "api_judge.py").write_text(text, encoding="utf-8")
    return root


def test_the_prompts_of_the_evaluation_are_imported_beside_those_of_the_rewards(tmp_path: Path) -> None:
    said = visual_erm("import", evaluation(checkout(tmp_path))).stdout
    assert "evaluation_table: imported from" in said
    assert "api_judge.py, line " in said
    assert {name: prompts.imported(evaluation_prompt(name)) for name in TASKS} == {
        name: f"Compare two of them: {name}" for name in TASKS
    }
    assert in_use() == TEXTS
    visual_erm("forget")
    assert prompts.imported(evaluation_prompt("table")) is None


def test_a_checkout_without_the_evaluation_says_so_and_gives_the_others(tmp_path: Path) -> None:
    said = visual_erm("import", checkout(tmp_path)).stdout
    assert "no evaluation/api_judge.py: `visual-erm bench run --published` has no prompts" in said
    assert in_use() == TEXTS


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("", "looked for one function `build_prompt_for_svg`; found none"),
        (
            "def build_prompt_for_svg():\n    return open('prompt').read()\n",
            "is no text that can be read without running it",
        ),
        ("def build_prompt_for_svg(): return 'a'\ndef build_prompt_for_svg(): return 'b'\n", "found 2, in line"),
    ],
)
def test_an_evaluation_whose_text_is_not_plain_is_told_by_line(tmp_path: Path, function: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        find_evaluation(evaluation(checkout(tmp_path), svg=function))


def test_show_prints_the_text_to_the_letter_and_says_where_it_is_from(tmp_path: Path) -> None:
    shown = visual_erm("show", "table")
    assert (shown.stdout, shown.stderr) == (OWN["table"], f"table: own, sha256 {digest(OWN['table'])[:12]}\n")
    visual_erm("import", checkout(tmp_path))
    shown = visual_erm("show", "table")
    assert shown.stdout == TABLE
    assert "table_parse_rm_v2.py, line 8, sha256" in shown.stderr
    everything = visual_erm("show")
    assert everything.stdout == CHART + SVG + TABLE
    assert everything.stderr.count("imported from") == 3


def test_what_cannot_be_imported_is_one_message_and_changes_nothing(tmp_path: Path) -> None:
    visual_erm("import", checkout(tmp_path / "first"))
    failed = visual_erm("import", checkout(tmp_path / "second", table="def other(): pass"), check=False)
    assert failed.returncode == 2
    assert "table_parse_rm_v2.py: looked for one function `build_error_prompt_for_images`; found none" in failed.stderr
    assert in_use() == TEXTS


def test_doctor_says_per_task_which_prompt_is_in_use(tmp_path: Path) -> None:
    findings = {finding.what: finding for finding in doctor.prompts()}
    assert findings["prompt of chart"].found == f"own, sha256 {digest(OWN['chart'])[:12]}"
    visual_erm("import", checkout(tmp_path))
    findings = {finding.what: finding for finding in doctor.prompts()}
    assert [finding.state for finding in findings.values()] == ["ok"] * 3
    for task in TASKS:
        assert findings[f"prompt of {task}"].found.startswith(f"imported from {tmp_path}/rl_scripts")
        assert digest(TEXTS[task])[:12] in findings[f"prompt of {task}"].found


# What is read, and how


def test_nothing_of_the_checkout_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attack = f"\n\nopen({str(mark)!r}, 'w').close()\nraise SystemExit(3)\n"
    table = function(f"open({str(mark)!r}, 'w').close()", f"return {TABLE!r}") + attack
    root = checkout(tmp_path / "theirs", constants() + attack, table)
    (root / "rl_scripts" / "reward_func" / "__init__.py").write_text(attack)
    (root / "rl_scripts" / "reward_func" / "textwrap.py").write_text(attack)
    visual_erm("import", root)
    assert in_use() == TEXTS
    assert not mark.exists()


@pytest.mark.parametrize("inside", [".", "rl_scripts", "rl_scripts/reward_func", "eval/deep"])
def test_any_folder_of_the_checkout_will_do(tmp_path: Path, inside: str) -> None:
    checkout(tmp_path)
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    assert texts(tmp_path / inside) == TEXTS


@pytest.mark.parametrize(
    ("lines", "before"),
    [
        ([f"return {TABLE!r}"], ""),
        ([f"text = {TABLE!r}", "return text"], ""),
        ([f"text: str = {TABLE!r}", "again = text", "return again"], ""),
        ([f"return {TABLE[:9]!r} {TABLE[9:]!r}"], ""),
        ([f"return {TABLE[:9]!r} + ({TABLE[9:20]!r} + {TABLE[20:]!r})"], ""),
        (["return f" + repr(TABLE.replace("{", "{{").replace("}", "}}"))], ""),
        ([f"return {'  ' + TABLE + ' '!r}.strip()"], ""),
        ([f"return {'<<' + TABLE + '>'!r}.lstrip('<').rstrip('>')"], ""),
        ([f"return textwrap.dedent({TABLE!r})"], "import textwrap"),
        (["import textwrap as wrap", f"return wrap.dedent({TABLE!r})"], ""),
        ([f"return dedent({TABLE!r}).strip()"], "from textwrap import dedent"),
        (["return TEXT"], f"TEXT = {TABLE!r}"),
        (["def inner():", "    return 3", f"return {TABLE!r}"], ""),
        (["if not pictures:", "    raise ValueError('none')", f"return {TABLE!r}"], ""),
    ],
)
def test_a_text_may_be_written_in_any_plain_way(tmp_path: Path, lines: list[str], before: str) -> None:
    assert texts(checkout(tmp_path, table=function(*lines, before=before)))["table"] == TABLE


def test_dedent_and_lines_are_as_python_has_them(tmp_path: Path) -> None:
    table = function(
        'prompt = textwrap.dedent("""\\', "    One", "      two", '    """)', "return prompt", before="import textwrap"
    )
    assert texts(checkout(tmp_path, table=table))["table"] == "One\n  two\n"


@pytest.mark.parametrize(
    ("lines", "before", "message"),
    [
        (["return f'{pictures}'"], "", r"line 8: `f'\{pictures\}'` is no text"),
        (["return open('prompt.txt').read()"], "", "line 8: `open"),
        (["return 'a {}'.format(3)"], "", "line 8: "),
        (["return 'a' * 3"], "", "line 8: "),
        (["return 7"], "", "line 8: `7` is no text"),
        (["return [{'type': 'text'}]"], "", "line 8: "),
        (["return unknown"], "", "line 8: `unknown` is not assigned once and for all; it is bound: none"),
        (["return pictures"], "", "line 8: `pictures` is not assigned once"),
        (["a = b", "b = a", "return a"], "", "line 10: is nested too deeply"),
        (["text = 'a'", "text += 'b'", "return text"], "", r"line 10: `text` .* bound: 2, in line 8, 9"),
        (["text = 'a'", "if pictures:", "    text = 'b'", "return text"], "", "bound: 2, in line 8, 10"),
        (["if pictures:", "    text = 'b'", "return text"], "", "line 10: `text` is not assigned once"),
        (["text = 'a'", "for text in 'bc':", "    pass", "return text"], "", "bound: 2, in line 8, 9"),
        (["text = 'a'", "(text := 'b')", "return text"], "", "bound: 2, in line 8, 9"),
        (["text = 'a'", "import text", "return text"], "", "bound: 2, in line 8, 9"),
        (["text = 'a'", "def change():", "    nonlocal text", "return text"], "", "bound: 2, in line 8, 10"),
        (["return TEXT"], "TEXT = 'a'\nTEXT = 'b'", "bound: 2, in line 1, 2"),
        (["return TEXT"], "TEXT = 'a'\ndef f():\n    global TEXT\n    TEXT = 'b'", "bound: 2, in line 1, 3"),
        (["return dedent('a')"], "from elsewhere import dedent", "line 8: "),
        (["return dedent('a')"], "def dedent(text): return text", "line 8: "),
        (["if pictures:", "    return 'a'", "return 'b'"], "", "line 7: looked for one `return` .* found 2, in line 9, 10"),
        (["if pictures:", "    return 'a'"], "", "line 7: looked for one `return` .* found 1, in line 9"),
        (["return"], "", "line 7: looked for one `return`"),
        (["pass"], "", "line 7: looked for one `return` .* found none"),
        (["return '  '"], "", "line 8: is an empty text"),
        (["return 'a\\ud800'"], "", "line 8: holds half a character"),
        (["return " + "+".join(["'a'"] * 5000)], "", "too deeply|cannot be parsed"),
        (["return T40"], "T0 = 'a'\n" + "\n".join(f"T{n + 1} = T{n} + T{n}" for n in range(40)), "line .*: is too long"),
        (["return T40"], "T0 = ''\n" + "\n".join(f"T{n + 1} = T{n} + T{n}" for n in range(40)), "line .*: is too long"),
    ],
)
def test_what_is_no_plain_text_is_told_with_its_line(tmp_path: Path, lines: list[str], before: str, message: str) -> None:
    # The function is in line 7, its body starts in line 8, where nothing or one line comes before it.
    with pytest.raises(ConfigError, match=message) as caught:
        find_published(checkout(tmp_path, table=function(*lines, before=before)))
    assert "table_parse_rm_v2.py" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("def build_error_prompt_for_images(:\n", "line 1: not valid Python"),
        ("x = '\0'\n", "null byte"),
        ("x = " + "(" * 5000, "not valid Python|cannot be parsed"),
        ("# -*- coding: nonsense -*-\n", "not valid Python"),
        ("", "looked for one function `build_error_prompt_for_images`; found none"),
        (function("return 'a'") * 2, "found 2, in line 7, 15"),
        ("@change\ndef build_error_prompt_for_images():\n    return 'a'\n", "line 1: .*decorated"),
    ],
)
def test_a_file_without_the_function_is_told(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_published(checkout(tmp_path, table=table))


@pytest.mark.parametrize(
    ("utils", "message"),
    [
        (
            "",
            "looked for one text .* the words structure_error, data_error, text_error, style_error, errors; found none",
        ),
        (constants(svg="'errors'"), "words structure_error, shape_error, .*; found none"),
        (constants() + f"ANOTHER = {CHART + '.'!r}\n", "found 2, in line 3, 6"),
        (constants() + f"PROMPT_A = {CHART!r}\n", "line 3: `PROMPT_A` is not assigned once .* bound: 2, in line 3, 6"),
        (constants() + "PROMPT_A += 'more'\n", "line 3: `PROMPT_A` is not assigned once"),
        (constants(chart=f"{CHART!r} + nowhere.MORE"), "line 3: `nowhere.MORE` is no text"),
        (constants(chart=f"{CHART!r}.format(1)"), "line 3: "),
        (constants(chart="f" + repr(CHART.replace("[]", "nowhere.X"))), "line 3: "),
        (f"ALL = {{'chart': {CHART!r}, 'svg': {SVG!r}}}\n", "line 1: "),
        ("if True:\n    A = 3\n", "found none"),
    ],
)
def test_a_constant_that_is_absent_or_one_of_several_is_told(tmp_path: Path, utils: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        find_published(checkout(tmp_path, utils))
    assert "reward_utils.py" in str(caught.value)


def test_two_names_for_one_text_are_no_ambiguity(tmp_path: Path) -> None:
    assert texts(checkout(tmp_path, constants() + "DEFAULT = PROMPT_A\n")) == TEXTS


def _a_pipe(file: Path) -> None:
    os.mkfifo(file)


def _a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _a_folder(file: Path) -> None:
    file.mkdir()


def _a_large_file(file: Path) -> None:
    file.write_text(constants() + "#" * prompt_import.MAX_BYTES)


def _a_file_without_end(file: Path) -> None:
    with file.open("wb") as out:
        out.truncate(1 << 40)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (_a_pipe, "no regular file"),
        (_a_device, "no regular file"),
        (_a_folder, "cannot be read: Is a directory"),
        (_a_large_file, "more than 262144 bytes"),
        (_a_file_without_end, "more than 262144 bytes"),
    ],
)
def test_only_regular_files_of_limited_size_are_read(tmp_path: Path, put: Callable[[Path], None], message: str) -> None:
    file = checkout(tmp_path) / "rl_scripts" / "reward_func" / "reward_utils.py"
    file.unlink()
    put(file)
    with pytest.raises(ConfigError, match=message) as caught:
        find_published(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "utils",
    [
        # Each line reads a long sum again.
        "A = " + "+".join(["''"] * 200) + "\n" + "".join(f"B{n} = A + A\n" for n in range(5000)),
        # Each line is looked for among all others.
        "".join(f"a{n}=''\n" for n in range(20_000)),
        # Each line takes the blanks off a long text again.
        f"A = {'x' * 100_000!r}\n" + "".join(f"B{n} = A.strip('x')\n" for n in range(5000)),
    ],
)
def test_a_search_that_takes_long_is_ended(tmp_path: Path, utils: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_import, "LIMIT_S", 0.1)
    begun = time.process_time()
    with pytest.raises(ConfigError, match=r"reward_utils.py: no text was found within 0.1 s; fix: "):
        find_published(checkout(tmp_path, utils + constants()))
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("way", ["strip", "lstrip", "rstrip"])
def test_a_strip_of_few_characters_is_read_and_one_of_many_is_not(tmp_path: Path, way: str) -> None:
    assert texts(checkout(tmp_path, table=function(f"return 'text'.{way}('.,')")))["table"] == "text"
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
    with pytest.raises(ConfigError, match="no text that can be read"):
        find_published(checkout(tmp_path, table=function(f"return 'text'.{way}({many!r})")))


def test_a_folder_that_is_no_checkout_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"holds no rl_scripts/reward_func, .*; give a checkout"):
            find_published(folder)
    (checkout(tmp_path) / "rl_scripts" / "reward_func" / "reward_utils.py").unlink()
    with pytest.raises(ConfigError, match=r"reward_utils\.py: cannot be read: No such file"):
        find_published(tmp_path)


CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("{}$\\'\"\r\n\t %\ufeff"), max_size=40)


@pytest.mark.long
@settings(max_examples=40)
@given(parts=st.lists(CHARACTERS, min_size=3, max_size=3), escaped=st.booleans())
def test_every_text_survives_to_the_letter(parts: list[str], escaped: bool) -> None:
    """From the published file to the task, and through the recipe to the reward workers."""
    from visual_erm.train import carry_prompts

    words = ("errors structure_error data_error text_error style_error", "shape_error text_symbol_error")
    chart, svg = parts[0] + words[0] + parts[1], parts[1] + " ".join(words).replace("data_error", "") + parts[2]
    table = parts[2] + "x" + parts[0]
    literal = (lambda t: "f" + repr(t.replace("{", "{{").replace("}", "}}"))) if escaped else repr
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict("os.environ", XDG_CONFIG_HOME=f"{folder}/config"):
        utils = constants(literal(chart), literal(svg))
        save_imported(find_published(checkout(Path(folder), utils, function(f"return {literal(table)}"))))
        assert in_use() == {"chart": chart, "svg": svg, "table": table}
        recipe = OmegaConf.create({"task": {"name": "mixed", "tasks": {}}})
        recipe.task.tasks = {
            task: yaml.safe_load((shipped("configs") / "task" / f"{task}.yaml").read_text()) for task in TASKS
        }
        carry_prompts(recipe.task, load_tasks(recipe.task))
    carried = load_tasks(OmegaConf.create({"task": recipe.task, "kwargs": {"task": "${task}"}}).kwargs.task)
    assert {task: carried[task].judge.prompt for task in TASKS} == {"chart": chart, "svg": svg, "table": table}


# What is kept


def test_a_second_import_replaces_the_first(tmp_path: Path) -> None:
    save_imported(find_published(checkout(tmp_path)))
    save_imported(find_published(checkout(tmp_path, table=function("return 'another'"))))
    assert in_use() == TEXTS | {"table": "another"}


@pytest.mark.parametrize("broken_after", range(4))
def test_an_import_that_breaks_off_leaves_no_mixture(tmp_path: Path, broken_after: int, monkeypatch) -> None:
    replace, calls = Path.replace, []

    def full(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > broken_after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(ConfigError, match="prompts: cannot be written: No space left on device"):
            save_imported(find_published(checkout(tmp_path)))
    assert in_use() == OWN
    save_imported(find_published(tmp_path))
    assert in_use() == TEXTS


def test_a_configuration_that_cannot_be_written_is_told(tmp_path: Path, configuration: Path) -> None:
    configuration.write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_imported(find_published(checkout(tmp_path)))
    assert in_use() == OWN


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("chart.txt", b"changed", r"chart\.txt: was changed after it was imported"),
        ("chart.txt", b"\xff", r"chart\.txt: is not UTF-8"),
        ("chart.txt", None, r"chart\.txt: cannot be read"),
        ("origin.yaml", b"prompts: {chart: 3}", r"origin\.yaml: key `prompts\.chart`"),
        ("origin.yaml", b"{", r"origin\.yaml: not valid YAML"),
    ],
)
def test_what_is_not_as_imported_is_refused_with_the_fix(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    save_imported(find_published(checkout(tmp_path)))
    damaged = imported_prompts() / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    with pytest.raises(ConfigError, match=f"judge.prompt_file`: .*{message}.*visual-erm prompts forget"):
        load_task("chart")
    assert "missing" in {finding.state for finding in doctor.prompts()}
    visual_erm("forget")
    assert in_use() == OWN


# Who keeps a prompt of one's own


def written(folder: Path, judge: Mapping[str, object], name: str = "table") -> Path:
    """A task file with these prompts in place of the shipped one."""
    content = yaml.safe_load((shipped("configs") / "task" / f"{name}.yaml").read_text(encoding="utf-8"))
    del content["judge"]["prompt_file"]
    content["judge"] |= judge
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.fixture
def imported(tmp_path: Path) -> None:
    save_imported(find_published(checkout(tmp_path / "theirs")))


@pytest.mark.usefixtures("imported")
def test_a_task_with_a_text_or_a_file_of_its_own_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("My own {text}.\n")
    (tmp_path / "prompts").mkdir()
    shutil.copy(shipped_prompts() / "table.txt", tmp_path / "prompts" / "table.txt")
    own = {"prompt": "Mine."}, {"prompt_file": "mine.txt"}, {"prompt_file": str(tmp_path / "mine.txt")}
    assert [load_task(written(tmp_path, judge)).judge.prompt for judge in own] == [
        "Mine.",
        "My own {text}.\n",
        "My own {text}.\n",
    ]
    assert load_task(written(tmp_path, {"prompt_file": "prompts/table.txt"})).judge.prompt == OWN["table"]


@pytest.mark.usefixtures("imported")
def test_a_copy_of_a_shipped_task_alone_asks_as_that_does(tmp_path: Path) -> None:
    assert load_task(written(tmp_path, {"prompt_file": "prompts/table.txt"})).judge.prompt == TABLE


def test_the_file_of_a_prompt_is_beside_its_task_wherever_the_run_starts(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("\ufeffMine.", encoding="utf-8")
    written(tmp_path / "a", {"prompt_file": "mine.txt"})
    for here, file in (("/", tmp_path / "a" / "mine.yaml"), (tmp_path, "a/mine.yaml"), (tmp_path / "a", "mine.yaml")):
        monkeypatch.chdir(here)
        assert load_task(file).judge.prompt == "Mine."


@pytest.mark.usefixtures("imported")
def test_a_mixture_has_the_last_word_on_prompts_too(tmp_path: Path) -> None:
    (tmp_path / "plots.txt").write_text("Plots.")
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(
        "defaults: [table@tasks.table, chart@tasks.plots, svg@tasks.svg]\nname: mine\n"
        "tasks: {plots: {judge: {prompt_file: plots.txt}}, svg: {judge: {prompt_file: null, prompt: Drawings.}}}\n"
    )
    found = {name: task.judge.prompt for name, task in load_tasks(mixture).items()}
    assert found == {"table": TABLE, "plots": "Plots.", "svg": "Drawings."}


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({}, "missing key `judge.prompt`, or `prompt_file`"),
        ({"prompt": None, "prompt_file": None}, "missing key `judge.prompt`, or `prompt_file`"),
        ({"prompt": "a", "prompt_file": "a.txt"}, "`judge.prompt` and `judge.prompt_file` are both given"),
        ({"prompt": ""}, "key `judge.prompt`: "),
        ({"prompt_file": 3}, r"key `judge\.prompt_file`: must be the path of a text file \(got 3\)"),
        ({"prompt_file": "gone.txt"}, r"key `judge\.prompt_file`: .*/gone\.txt: cannot be read: No such file"),
        ({"prompt_file": "."}, r"key `judge\.prompt_file`: .*: cannot be read: Is a directory"),
        ({"prompt_file": "empty.txt"}, r"key `judge\.prompt_file`: .*/empty\.txt: is empty"),
        ({"prompt_file": "latin.txt"}, r"key `judge\.prompt_file`: .*/latin\.txt: is not UTF-8 \(byte 3\)"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_told_with_file_and_key(tmp_path: Path, judge: dict, message: str) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match=message) as caught:
        load_task(written(tmp_path, judge))
    assert str(tmp_path / "mine.yaml") in str(caught.value)
    wrong = {"name": "mine", "tasks": {"a": yaml.safe_load((tmp_path / "mine.yaml").read_text())}}
    if judge.get("prompt_file") == "gone.txt":
        with pytest.raises(
            ConfigError, match=rf"task mine: key `tasks\.a\.judge\.prompt_file`: {shipped('configs')}/task/gone"
        ):
            load_tasks(wrong)
