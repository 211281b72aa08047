"""`visual-erm doctor`: what it says about fonts and libraries is what renderers draw and scripts import."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, ImageDraw

from visual_erm.errors import RendererUnavailable
from visual_erm.extract import Code
from visual_erm.preflight import doctor
from visual_erm.preflight.doctor import DoctorResult
from visual_erm.preflight.fonts import (
    CELL,
    MAX_CHARACTERS,
    NO_CHARACTERS,
    SCRIPTS,
    TABLE_SHEET,
    Sheet,
    scripts_without_font,
)
from visual_erm.sandbox.backends.chart_libraries import LIBRARIES, Library, install_command, installed_version

TEXTS = ("text in tables", "text in charts", "text in SVG", "text in SVG by CairoSVG")
TOLD = """
import json
from visual_erm.preflight import doctor
doctor.LIBRARIES = ()
print(json.dumps({result.what: [result.state, result.found, result.fix] for result in doctor.rendering()}))
"""
BROKEN = ("of_nobody", "numpy.of_nobody")
"""Modules that an installed package does not have."""
ASIAN = "Chinese, Japanese, Korean"


def told(prepare: str = "") -> dict[str, list[str]]:
    """What doctor says in a mount namespace of its own, where these shell commands were run before."""
    python = f'{prepare} exec "{sys.executable}" -c "$TOLD"'
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-ec", python]
    done = subprocess.run(command, env={**os.environ, "TOLD": TOLD}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def can_mount() -> bool:
    mount = "mount -t tmpfs none /usr/share/fonts"
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-ec", mount]
    return bool(shutil.which("unshare")) and not subprocess.run(command, capture_output=True).returncode


def folders_of_fonts(language: str) -> list[str]:
    files = subprocess.run(["fc-list", f":lang={language}", "file"], capture_output=True, text=True, check=True).stdout
    return sorted({str(Path(line.strip().rstrip(":")).parent) for line in files.splitlines()})


@pytest.mark.long
@pytest.mark.skipif(not can_mount(), reason="fonts can be hidden only in a mount namespace")
def test_a_script_whose_fonts_are_hidden_is_a_warning_in_every_renderer() -> None:
    hidden = folders_of_fonts("zh-cn")
    assert hidden
    results = told("".join(f"mount -t tmpfs none '{folder}'; " for folder in hidden))
    for text in TEXTS:
        state, found, fix = results[text]
        assert state == "warning" and found.startswith(f"boxes in place of {ASIAN}"), (text, found)
        assert fix.startswith("apt-get install fonts-noto-cjk")


@pytest.mark.long
@pytest.mark.skipif(not can_mount(), reason="fonts can be hidden only in a mount namespace")
def test_without_any_font_only_charts_show_letters() -> None:
    results = told("mount -t tmpfs none /usr/share/fonts;")
    for text in TEXTS:
        letters = "" if text == "text in charts" else "Latin, "
        assert results[text][1].startswith(f"boxes in place of {letters}{ASIAN}"), text
        assert ("Arabic" in results[text][1]) == (text != "text in charts"), text


@pytest.mark.long
def test_doctor_draws_with_every_renderer_and_imports_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", (*LIBRARIES, *(Library(module, "numpy") for module in BROKEN)))
    results = {result.what: result for result in doctor.rendering()}
    assert list(results) == [*TEXTS, *(f"scripts import {library.module}" for library in doctor.LIBRARIES)]
    for module in BROKEN:
        result = results[f"scripts import {module}"]
        assert result.state == "missing" and result.found == f"{version('numpy')}, but not in the sandbox"
        assert f"No module named '{module}'" in result.fix
    for text in TEXTS:
        assert results[text].state == "ok" or ("Latin" not in results[text].found and ASIAN not in results[text].found)
    for library in LIBRARIES:
        what = f"scripts import {library.module}"
        there = DoctorResult("ok", what, installed_version(library))
        assert results[what] == (there if there.found else not_installed(library))


def not_installed(library: Library) -> DoctorResult:
    state: Literal["warning", "missing"] = "warning" if library.extra else "missing"
    return DoctorResult(state, f"scripts import {library.module}", "not installed", install_command(library))


@pytest.mark.parametrize("extra", ["charts", "data", ""])
async def test_a_library_that_is_not_installed_is_named_with_what_installs_it(extra: str) -> None:
    library = Library("of_nobody", "of-nobody", extra)
    result = await doctor._library(library, Fake())
    assert result == not_installed(library)
    assert result.fix == (f"pip install 'visual-erm[{extra}]'" if extra else "pip install of-nobody")


async def test_nothing_is_claimed_where_the_renderer_does_not_work() -> None:
    broken = Fake(RendererUnavailable("no browser: install one"))
    text = await doctor._text("tables", broken, TABLE_SHEET)
    assert (text.state, text.fix) == ("warning", "no browser: install one") and "not tested" in text.found
    library = await doctor._library(Library("numpy", "numpy"), broken)
    assert (library.state, library.fix) == ("warning", "no browser: install one") and "not tested" in library.found


class Fake:
    """A renderer that raises, or shows cells of a font that lacks some characters."""

    renderer_version = "fake 1"

    def __init__(self, error: Exception | None = None, lacks: str = "", box: str = "frame", counts: bool = False) -> None:
        self._error, self._lacks, self._box, self._counts = error, lacks + NO_CHARACTERS, box, counts

    async def render(self, code: Code) -> Image.Image:
        if self._error:
            raise self._error
        image = Image.new("RGB", (CELL * len(code.text), CELL), "white")
        draw = ImageDraw.Draw(image)
        for place, character in enumerate(code.text):
            left = place * CELL
            if character not in self._lacks:
                draw.line((left + 9, 9, left + 20 + ord(character) % 7, 30), "black", 3)
            elif self._box != "nothing":
                draw.rectangle((left + 10, 10, left + 30, 38), outline="gray")
                if self._box == "number":
                    draw.text((left + 12, 12), f"{ord(character):04X}", "black", font_size=8)
        image.info["missing_glyphs"] = len(set(code.text) & set(self._lacks)) if self._counts else 0
        return image

    async def close(self) -> None: ...


@pytest.mark.parametrize("box", ["frame", "number", "nothing"])
@pytest.mark.parametrize("counts", [False, True])
async def test_a_script_is_lacking_however_a_renderer_shows_what_no_font_has(box: str, counts: bool) -> None:
    sheet = Sheet(lambda characters: Code("html", characters))
    for lacks, names in (("", []), ("数", ["Chinese"]), ("데이터를آكआ", ["Korean", "Hindi"])):
        found = await scripts_without_font(Fake(lacks=lacks, box=box, counts=counts), sheet)
        assert [script.name for script in found] == names


def test_the_documentation_lists_the_scripts_and_their_packages() -> None:
    text = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = re.search(r"^\| script \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    assert table
    assert re.findall(r"^\| (\w+) \| `([\w-]+)` \|$", table[1], re.M) == [(one.name, one.package) for one in SCRIPTS]


def test_the_characters_are_those_of_their_scripts() -> None:
    assert all(len(script.characters) <= MAX_CHARACTERS for script in SCRIPTS)
    assert {unicodedata.category(character) for character in NO_CHARACTERS} == {"Cn"}
    letters = {script.name: {unicodedata.name(one).split()[0] for one in script.characters} for script in SCRIPTS}
    assert letters == {
        "Latin": {"LATIN"}, "Chinese": {"CJK"}, "Japanese": {"KATAKANA", "KATAKANA-HIRAGANA", "HIRAGANA"},
        "Korean": {"HANGUL"}, "Hindi": {"DEVANAGARI"}, "Arabic": {"ARABIC"},
    }  # fmt: skip
