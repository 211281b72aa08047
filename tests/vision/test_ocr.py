import json
import os
import subprocess
import sys

import numpy as np
import pytest

from visual_erm import QUIET
from visual_erm.errors import JudgeUnavailable
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.vision.ocr import Ocr


def test_blank_crops_read_as_nothing_whatever_their_shape():
    shapes = [(20, 1), (1, 20), (20, 3000), (300, 20)]
    assert Ocr().lines([np.full(shape, 255, np.uint8) for shape in shapes]) == [""] * 4


def test_no_crops_give_no_texts():
    assert Ocr().lines([]) == []


def test_a_blank_page_holds_no_lines():
    assert Ocr().page(np.full((100, 160), 255, np.uint8)) == []


def test_a_missing_engine_is_our_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(JudgeUnavailable, match="pip install rapidocr"):
        Ocr()


@pytest.mark.parametrize("module", ["visual_erm", "visual_erm.vision.ocr", "visual_erm.sandbox.worker", "visual_erm.train"])
def test_libraries_report_nothing_to_their_makers_whichever_module_comes_first(module):
    if module == "visual_erm.train":
        pytest.importorskip("verl")
    asked = f"import json, os, {module}; print(json.dumps(dict(os.environ)))"
    clean = {name: value for name, value in os.environ.items() if name not in QUIET}
    said = subprocess.run([sys.executable, "-c", asked], env=clean, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout).items() >= QUIET.items()
    own = {**clean, "ORT_DISABLE_TELEMETRY": "0"}
    said = subprocess.run([sys.executable, "-c", asked], env=own, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout)["ORT_DISABLE_TELEMETRY"] == "0", "the user's own value goes first"


def test_the_processes_of_a_run_get_the_same_variables():
    assert read_yaml(shipped("configs") / "grpo.yaml")["env"].items() >= QUIET.items()
