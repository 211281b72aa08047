"""Libraries that the references' code imports: one that scripts cannot import is a warning with its rows."""

from __future__ import annotations

import json

import pytest
from runs import Run, row, write

from visual_erm.preflight import libraries
from visual_erm.preflight.checks import exit_code
from visual_erm.preflight.report import as_json, last_line, line


def script(imports: str) -> str:
    return f"{imports}\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\n"


def chart_rows(*imports: str) -> list[dict]:
    return [
        row(index, data_source="chart", reward_model={"style": "model", "ground_truth": script(text) if text else ""})
        for index, text in enumerate(imports)
    ]


LIBRARIES_TITLE = "libraries of the references' code"


@pytest.mark.parametrize("written", ["import {}", "from {} import x", "import json, {}.part as p", "if True: import {}"])
def test_a_library_that_scripts_cannot_import_is_a_warning_with_its_rows(run_copy: Run, monkeypatch, written):
    lacking = {"squarify", "basemap"}
    monkeypatch.setattr(libraries, "is_importable", lambda module: module not in lacking)
    rows = chart_rows(written.format("squarify"), written.format("squarify"), written.format("basemap"), "import json", "")
    write(run_copy.folder / "train.parquet", rows)
    write(run_copy.folder / "test.parquet", chart_rows("import json"))
    outcome = run_copy.look(LIBRARIES_TITLE, "task=chart")
    assert outcome.ok and exit_code([outcome]) == 0
    ours, other = outcome.warnings
    assert str(ours) == (
        "data.train_files: the code of 2 of 4 references imports `squarify`, which scripts cannot import here; "
        "pip install 'visual-erm[charts]'"
    )
    assert "1 of 4 references imports `basemap`" in other.what and other.fix.startswith("install it")
    assert json.loads(as_json([outcome]))["warnings"][0]["fix"] == ours.fix
    assert "squarify" in line(outcome) and last_line([outcome]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "import matplotlib, os.path, mpl_toolkits.mplot3d, PIL.Image",
        "try:\n    import basemap\nexcept ImportError:\n    basemap = None",
        "'''\nimport basemap\n'''",
        "from . import basemap",
        "import basemap (",
    ],
)
def test_code_that_lacks_no_library_is_no_warning(run_copy: Run, text):
    write(run_copy.folder / "train.parquet", chart_rows(text))
    outcome = run_copy.look(LIBRARIES_TITLE, "task=chart")
    assert outcome.ok and not outcome.warnings and outcome.notes == ("3 scripts",)


def test_libraries_matter_only_where_scripts_are_rendered(run_copy: Run):
    write(run_copy.folder / "train.parquet", chart_rows("import basemap"))
    assert len(run_copy.look(LIBRARIES_TITLE, "task=mixed").warnings) == 1
    assert not run_copy.look(LIBRARIES_TITLE, "task=table").warnings
    assert not run_copy.look(LIBRARIES_TITLE, "task=chart", "reward=edit_distance").warnings
