"""Who imports whom (.importlinter), and what importing the package costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import visual_erm

ROOT = Path(__file__).resolve().parents[1]


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_every_import_keeps_to_the_contracts() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_the_top_of_the_package_are_at_most_five_modules() -> None:
    modules = {file.stem for file in (ROOT / "visual_erm").glob("*.py")} - {"__init__"}
    assert modules == {"errors", "pipeline", "train", "cli"}


def test_importing_the_package_imports_nothing_of_it_or_of_others() -> None:
    before = python("import sys, importlib, os, typing; print(len(sys.modules))")
    after = python("import sys, importlib, os, typing, visual_erm; print(len(sys.modules))")
    assert int(after) - int(before) <= 1


def test_scoring_imports_neither_verl_nor_ray_nor_torch() -> None:
    code = (
        "import sys, json; from visual_erm import RewardPipeline, load_task, score_reply; import visual_erm.adapter.visual;"
        "load_task('table'); print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert not {"verl", "ray", "torch", "transformers"} & set(json.loads(python(code)))


@pytest.mark.parametrize("name", visual_erm.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(visual_erm, name) is not None
    assert name in dir(visual_erm)


def test_a_name_that_is_not_public_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load_tusk'"):
        visual_erm.load_tusk  # noqa: B018


def test_the_example_scores_one_reply_and_prints_its_report() -> None:
    done = subprocess.run(
        [sys.executable, "examples/score_one_reply.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "numeric_error" in done.stdout and "79.5" in done.stdout
    assert done.stdout.startswith("reward 1.")


def test_the_example_has_ten_lines() -> None:
    lines = (ROOT / "examples" / "score_one_reply.py").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith('"""')]) <= 10
