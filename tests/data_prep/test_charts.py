"""Charts in, rows out that veRL loads: the commands of docs/data.md, on real scripts in the real sandbox."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from data_sets import documented, opened, rows_of, scans, truths_of, write_lines
from sklearn.datasets import load_wine
from statsmodels.datasets import nile
from visual_erm.data_prep import charts

from visual_erm.data.sources import Item
from visual_erm.demo.package_charts import KINDS, ROWS
from visual_erm.demo.package_charts import charts as packages

DOCUMENTED = documented("charts")

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(command_line: Callable[..., Run]) -> Run:
    return command_line(charts)


@pytest.fixture(scope="module")
def built_in() -> list[Item]:
    return list(packages(seed=0))


def script(height: object) -> str:
    return (
        f"import matplotlib.pyplot as plt\n\nplt.figure(figsize=(2, 1))\nplt.bar(['a', 'b'], [1, {height}])\nplt.show()\n"
    )


def test_the_documentation_shows_every_command() -> None:
    assert [command.split()[0] for command in DOCUMENTED] == ["images", "scripts", "packages"]


@pytest.mark.verl
@pytest.mark.parametrize("command", [DOCUMENTED[0], DOCUMENTED[2]], ids=["images", "packages"])
def test_each_documented_command_makes_rows_that_verl_loads(command: str, run: Run, tmp_path: Path) -> None:
    scans(tmp_path / "figures", "abc")
    words = shlex.split(command)
    code, said = run(*words)
    assert code == 0, said
    look_at(found := rows_of(out_of(tmp_path, words)), drawn=words[0] == "packages")
    assert len(found) == {"images": 3, "packages": 12}[words[0]]


@pytest.mark.long
def test_the_documented_scripts_become_rows_and_those_that_fail_are_reported(run: Run, tmp_path: Path) -> None:
    lines: list[object] = [
        {"code": script(1)},
        {"code": script("oops")},
        {"code": "import matplotlib.pyplot as plt\nplt.bar([1"},
        {"code": "print('no picture')"},
        {"code": "import pandas as pd\n\nframe = pd.read_csv('sales.csv')\nframe.plot()"},
        {"r": "plot(1)"},
        {"python": script(2)},
        {"code": f"import sys\nsys.modules['squarify'] = None\nimport squarify\n{script(4)}"},
        {"code": "import matplotlib.pyplot as plt\nplt.boxplot([1], labelz=['a'])"},
    ]
    write_lines(tmp_path / "more.jsonl", lines)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "three.py").write_text(script(3), encoding="utf-8-sig")
    (tmp_path / "plots" / "latin.py").write_bytes("title = 'é'\n".encode("latin-1"))
    words = shlex.split(DOCUMENTED[1])
    code, said = run(*words)
    assert code == 1, said
    look_at(rows_of(out_of(tmp_path, words)), drawn=True)
    assert truths_of(out_of(tmp_path, words)) == {script(1), script(2), script(3)}
    assert "more.jsonl:2: cannot be rendered (NameError" in said and "'oops'" in said
    assert "more.jsonl:3: cannot be rendered (SyntaxError" in said
    assert "more.jsonl:4: cannot be rendered (" in said
    assert "more.jsonl:5: cannot be rendered (FileNotFoundError" in said and "sales.csv" in said
    assert "more.jsonl:6: needs a key `python` or `code` with the code as text; it has r" in said
    assert "more.jsonl:8: cannot be rendered (ModuleNotFoundError" in said and "; pip install 'visual-erm[charts]')" in said
    assert (
        "more.jsonl:9: cannot be rendered (TypeError" in said
        and f"; installed: matplotlib {version('matplotlib')})" in said
    )
    assert "plots/latin.py: byte 9 is not utf-8" in said
    assert "8 left out" in said


def out_of(folder: Path, words: Sequence[str]) -> Path:
    return folder / words[words.index("--out") + 1]


def look_at(rows: Sequence[dict[str, Any]], drawn: bool) -> None:
    for row in rows:
        assert row["data_source"] == "chart"
        assert "```python" in row["prompt"][0]["content"]
        assert bool(row["reward_model"]["ground_truth"]) == drawn
        assert row["extra_info"]["renderer_version"] == (f"matplotlib {version('matplotlib')}" if drawn else "")
        assert opened(row["images"][0]["bytes"]).size == opened(row["extra_info"]["reference"]["bytes"]).size


def test_a_data_set_comes_as_charts_that_share_no_row(built_in: list[Item]) -> None:
    """The Nile has no year twice: each names the row that it comes from."""
    items = [item for item in built_in if item.where.startswith("statsmodels/nile ")]
    volumes = dict(nile.load_pandas().data.astype(int).to_numpy().tolist())
    seen: list[int] = []
    for item in items:
        lists = values_of(item.ground_truth)
        years = [*map(int, lists.get("labels", [])), *lists.get("x", [])]
        if set(years) <= set(volumes) and "ax = axes[0]" not in item.ground_truth:
            assert [volumes[year] for year in years] == (lists.get("values") or lists.get("y") or [])
            seen += years
    assert len(seen) > 20
    assert len(set(seen)) == len(seen)


def values_of(code: str) -> dict[str, list]:
    """The last list that each name is given in a script."""
    given = [node for node in ast.parse(code).body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    return {node.targets[0].id: ast.literal_eval(node.value) for node in given if isinstance(node.targets[0], ast.Name)}


def test_points_are_where_the_data_has_them(built_in: list[Item]) -> None:
    frame = load_wine(as_frame=True).frame
    pairs = 0
    for item in built_in:
        if item.where.startswith("scikit-learn/wine ") and item.where.endswith("scatter"):
            lists = values_of(item.ground_truth)
            named = [node.args[0].value for node in ast.walk(ast.parse(item.ground_truth)) if is_label(node)]
            for point in zip(lists["x"], lists["y"], strict=True):
                assert (frame[named].to_numpy() == point).all(axis=1).any()
                pairs += 1
    assert pairs


def is_label(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("set_xlabel", "set_ylabel")
    )


def test_built_in_charts_are_of_every_kind_and_depend_on_the_seed_alone(built_in: list[Item]) -> None:
    items = built_in
    assert len(items) > 400
    assert len({item.where for item in items}) == len({item.code for item in items}) == len(items)
    assert {item.where.split(", ")[1] for item in items} == set(KINDS) == set(ROWS)
    for item in items:
        compile(item.ground_truth, item.where, "exec")
    assert [item.code for item in packages(seed=0)] == [item.code for item in items]
    assert not {item.code for item in packages(seed=1)} & {item.code for item in items}
