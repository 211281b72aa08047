"""Any image passes through the perception, and nothing raises or warns. The long run is benchmarks/perception.py."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace

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
from visual_erm.guard import blank, omission, plot_marks, under_reporting  # noqa: E402
from visual_erm.guard.blank import is_near_blank  # noqa: E402
from visual_erm.vision import ocr  # noqa: E402
from visual_erm.vision.chart_scene import no_ocr, parse_scene  # noqa: E402
from visual_erm.vision.colors import color_distance  # noqa: E402
from visual_erm.vision.foreground import foreground  # noqa: E402
from visual_erm.vision.gridlines import find_areas  # noqa: E402
from visual_erm.vision.images import on_white  # noqa: E402
from visual_erm.vision.segmentation import layers, pieces  # noqa: E402

SMALL = 15_000
"""Pixels of the largest image here."""
ALL = list(FAMILIES)


def public_functions() -> dict[CodeType, str]:
    """Code and name of all public functions of the perception, and of the guards that look at images."""
    packages = [visual_erm.vision, visual_erm.judge.local]
    names = [f"{package.__name__}.{one.name}" for package in packages for one in pkgutil.iter_modules(package.__path__)]
    modules = [*map(importlib.import_module, names), blank, omission, plot_marks, under_reporting]
    return {
        function.__code__: f"{module.__name__}.{name}"
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    }


@pytest.mark.long
def test_the_run_calls_every_public_function() -> None:
    called: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        gray_of_16_bits = next(
            number for number in range(ALL.index("modes"), 900, len(ALL)) if picture(number, 3, SMALL).image.mode == "I;16"
        )
        numbers = [ALL.index(family) for family in ("ruled_table", "figure", "variant")]
        perception.look([*numbers, gray_of_16_bits], 3, False, SMALL)
        perception.look([ALL.index("dense_text")], 3, True, 2000)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert [name for code, name in public_functions().items() if code not in called] == []


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12, 13, 14])
def test_no_image_of_any_family_raises_or_warns(seed: int) -> None:
    outcome = perception.look(range(2 * len(ALL)), seed, False, SMALL)
    assert outcome.families == dict.fromkeys(ALL, 2)
    assert [fault for fault in outcome.faults if fault.kind != "too long"] == []


def test_the_same_seed_and_number_give_the_same_image() -> None:
    for number in range(len(ALL)):
        one, again = picture(number, 5, SMALL), picture(number, 5, SMALL)
        assert (one.family, one.image.mode) == (ALL[number], again.image.mode)
        assert one.image.tobytes() == again.image.tobytes()
        assert one.image.width * one.image.height <= SMALL


def test_the_documentation_has_the_bound_of_every_check() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name, check in perception.CHECKS.items():
        assert f"| {name} | {check.seconds:g} | {check.per_megapixel:g} |" in page


@pytest.mark.parametrize(
    ("result", "kind"),
    [(ZeroDivisionError(), "raised"), (float("nan"), "no number"), ({"a": [np.full(3, np.inf)]}, "no number"), (1.0, "")],
)
def test_what_a_check_returns_or_raises_is_a_fault(result: object, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(one: perception.Subject, other: perception.Subject) -> object:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(perception, "CHECKS", {"this": perception.Check(run, 9, 0)})
    assert [fault.kind for fault in perception.look([0], 0, False, SMALL).faults] == [kind] * bool(kind)


def test_a_warning_and_a_late_answer_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {
        "warns": perception.Check(lambda one, other: np.nansum(np.zeros(1) / 0), 9, 0),
        "late": perception.Check(lambda one, other: sum(range(10**5)), 1e-6, 0),
    }
    monkeypatch.setattr(perception, "CHECKS", checks)
    found = perception.look([0], 0, False, SMALL).faults
    assert [(fault.check, fault.kind) for fault in found] == [("warns", "warned"), ("late", "too long")]


@pytest.mark.long
def test_the_command_prints_what_it_did_and_ends_with_success(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    few = ["--pictures", "15", "--with-text", "2", "--workers", "1", "--json", str(figures)]
    command = [sys.executable, str(ROOT / "benchmarks" / "perception.py"), *few]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(figures.read_text())
    assert (written["pictures"], written["with_text"], written["faults"]) == (15, 2, [])
    assert set(written["longest_s"]) == set(perception.CHECKS)


# --- kinds of images that raised or warned ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "height"), [((20, 22, 24), 48), ((20, 22, 24), 50), ((12, 14, 16), 49), ((40, 42, 44), 50)]
)
def test_the_ground_of_a_plot_area_of_few_pixels_is_read(rules: tuple[int, ...], height: int) -> None:
    image = Image.new("RGB", (400, height), "white")
    for at in rules:
        ImageDraw.Draw(image).line((20, at, 300, at), "black")
    [panel] = parse_scene(image, no_ocr).panels
    assert panel.box.height * height == pytest.approx(rules[-1] - rules[0] + 1)
    assert panel.color in ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(
    "frames",
    [
        [(1, 20, 7, 50), (8, 22, 24, 46)],
        [(22, 6, 59, 47), (49, 36, 68, 60), (4, 0, 80, 4)],
        [(35, 5, 41, 32), (4, 31, 67, 37), (47, 8, 80, 27)],
    ],
)
def test_a_crossing_line_beside_the_end_of_another_is_no_line_of_its_own(frames: list[tuple[int, int, int, int]]) -> None:
    image = Image.new("RGB", (80, 60), "white")
    for frame in frames:
        ImageDraw.Draw(image).rectangle(frame, outline="black")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_areas(np.asarray(image), (255, 255, 255))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 1)])
def test_the_steps_of_a_scene_take_images_one_pixel_wide(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert color_distance(pixels[1:], pixels[:-1]).shape == (shape[0] - 1, shape[1])
    found = layers(pixels)
    assert found.contrast.shape == shape
    assert pieces(pixels, found, np.ones(shape, bool))[0].shape == shape


@pytest.mark.parametrize("shape", [(3, 4000), (1, 9000), (4000, 3), (700, 10)])
def test_a_page_far_longer_than_wide_is_given_to_text_recognition_in_a_shape_that_it_takes(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []

    def recognize(page: np.ndarray) -> SimpleNamespace:
        seen.append(page.shape)
        return SimpleNamespace(txts=None)

    monkeypatch.setattr(ocr, "_engine", lambda narrowest: recognize)
    assert ocr.Ocr().page(np.full(shape, 255, np.uint8)) == []
    [(height, width, _)] = seen
    assert max(height, width) <= 2000
    assert height <= 8 * width
    assert width <= 60 * height


@pytest.mark.parametrize("number", [2082], ids=["letters in one place"])
def test_images_that_raised_before_do_not(number: int) -> None:
    assert perception.look([number], 0, False).faults == []


@pytest.mark.long
@pytest.mark.parametrize("shape", [(3, 4000), (4000, 5)])
def test_a_strip_has_no_text_and_is_no_failure(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert ocr.Ocr().page(noise) == []


def in_modes() -> dict[str, Image.Image]:
    """The same drawing in modes that do not convert to RGB as they are seen."""
    gray = Image.new("L", (120, 90), 255)
    ImageDraw.Draw(gray).rectangle((20, 20, 70, 60), fill=0)
    hidden = Image.merge("LA", (Image.new("L", gray.size, 0), gray.point(lambda level: 255 - level)))
    sixteen = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    return {
        "RGB": gray.convert("RGB"),
        "LA": hidden,
        "La": hidden.convert("La"),
        "RGBA": hidden.convert("RGBA"),
        "RGBa": hidden.convert("RGBA").convert("RGBa"),
        "I;16": sixteen,
        "I": sixteen.convert("I"),
        "F": Image.fromarray(np.asarray(gray).astype(np.float32) / 255),
    }


@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "I;16", "I", "F"])
def test_guards_judge_and_baseline_see_an_image_of_any_mode_as_it_is_shown(mode: str) -> None:
    shown, other = in_modes()["RGB"], in_modes()[mode]
    assert other.mode == mode
    assert np.array_equal(on_white(other), shown)
    assert np.array_equal(foreground(other), foreground(shown))
    assert parse_scene(other, no_ocr) == parse_scene(shown, no_ocr)
    assert ssim(other, shown, 500) == pytest.approx(1)
    assert is_near_blank(shown, other, 0.5) == is_near_blank(shown, shown, 0.5)
