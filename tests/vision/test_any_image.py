"""Any image passes through the perception: nothing raises, warns, or exceeds its bound. The long run is benchmarks/perception.py."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import numpy as np
import pytest
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import perception  # noqa: E402
from perception_pictures import FAMILIES, picture  # noqa: E402

import visual_erm.judge.local  # noqa: E402
import visual_erm.vision  # noqa: E402
from visual_erm.baselines.ssim import ssim  # noqa: E402
from visual_erm.guard import blank, omission, under_reporting  # noqa: E402
from visual_erm.guard.blank import is_near_blank  # noqa: E402
from visual_erm.vision.chart_scene import no_ocr, parse_scene  # noqa: E402
from visual_erm.vision.colors import color_distance  # noqa: E402
from visual_erm.vision.foreground import foreground  # noqa: E402
from visual_erm.vision.gridlines import find_areas  # noqa: E402
from visual_erm.vision.images import on_white  # noqa: E402
from visual_erm.vision.segmentation import layers, pieces  # noqa: E402

SMALL = 40_000
"""Pixels of the largest image here."""
NOT_CALLED = {"shutdown"}


def public_functions() -> dict[CodeType, str]:
    """Code and name of all public functions of the perception, and of the guards that look at images."""
    packages = [visual_erm.vision, visual_erm.judge.local]
    names = [f"{package.__name__}.{one.name}" for package in packages for one in pkgutil.iter_modules(package.__path__)]
    modules = [*map(importlib.import_module, names), blank, omission, under_reporting]
    return {
        function.__code__: f"{module.__name__}.{name}"
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


def test_the_run_calls_every_public_function() -> None:
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        perception.look(range(len(FAMILIES), len(FAMILIES) + 14), 3, False, SMALL)
        perception.look([FAMILIES_OF_TEXT], 3, True, 4000)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert [name for code, name in public_functions().items() if code not in called] == []


FAMILIES_OF_TEXT = list(FAMILIES).index("dense_text")
