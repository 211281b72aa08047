"""The shipped kinds: every declaration is complete, and everything that it names can be imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from visual_erm.extract import extract
from visual_erm.extract.languages import SHIPPED as LANGUAGES
from visual_erm.kinds import SHIPPED, find_kind, resolve
from visual_erm.render.base import make_renderer

KINDS = pytest.mark.parametrize("kind", SHIPPED.values(), ids=SHIPPED)


@KINDS
def test_everything_that_a_kind_names_can_be_imported(kind):
    named = [kind.render_settings.renderer_class, kind.read_text, *(counter.count for counter in kind.parts)]
    named += [kind.local_comparison.read, kind.local_comparison.compare]
    named += [search for search in (kind.file_references, kind.raster) if search]
    assert all(callable(resolve(name)) for name in named)


@KINDS
def test_a_kind_has_a_prompt_and_an_example_for_each_language(kind):
    names = [language.name for language in kind.languages]
    assert list(kind.prompts) == list(kind.examples) == names
    for language in kind.languages:
        assert kind.prompts[language.name].count("<image>") == 1
        reply = f"```{language.labels[0]}\n{kind.examples[language.name]}\n```"
        assert extract(reply, [language]).text == kind.examples[language.name]


def test_no_language_is_left_out_and_none_is_of_two_kinds():
    names = [language.name for kind in SHIPPED.values() for language in kind.languages]
    assert sorted(names) == sorted(LANGUAGES)


@KINDS
def test_what_runs_in_a_sandbox_has_its_settings(kind):
    assert ("sandbox" in kind.render_settings.model_fields) == (kind.runs_in == "sandbox")


@KINDS
def test_a_kind_makes_its_own_renderer(kind):
    assert type(make_renderer(kind.render_settings())).__name__ == f"{kind.name.capitalize()}Renderer"


def test_a_kind_is_found_by_its_name_always_the_same():
    assert find_kind("svg") is find_kind("svg")
    assert find_kind("svg") == SHIPPED["svg"]
    assert {field.name for field in fields(find_kind("svg"))} > {"languages", "render_settings", "prompts"}


def test_reading_a_task_imports_neither_renderers_nor_readers():
    heavy = ["cv2", "matplotlib", "playwright", "onnxruntime", "scipy", "visual_erm.render", "visual_erm.judge"]
    code = f"import sys, visual_erm.spec.task as t; t.load_task('chart'); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
