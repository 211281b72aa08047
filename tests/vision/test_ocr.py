import os
import subprocess
import sys

import numpy as np
import pytest

from visual_erm.errors import JudgeUnavailable
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


def test_reading_text_reports_nothing_to_the_recognisers_maker():
    asked = "import os, visual_erm; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    said = subprocess.run([sys.executable, "-c", asked], env=clean, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "1"
