"""The kind `svg`: SVG documents, rendered by librsvg or CairoSVG in the sandbox."""

from __future__ import annotations

from typing import Literal

from PIL import ImageColor
from pydantic import field_validator

from visual_erm.extract.languages import SVG as SVG_LANGUAGE
from visual_erm.kinds.base import Kind, LocalComparison, RenderSettings
from visual_erm.kinds.chart import SCENE_SIZE, scene_weight
from visual_erm.spec.base import Count, Positive
from visual_erm.spec.sandbox import SandboxSettings


class SvgSettings(RenderSettings):
    """How an SVG document becomes an image."""

    renderer_class = "visual_erm.render.svg:SvgRenderer"

    backend: Literal["librsvg", "cairosvg"] = "librsvg"
    """`cairosvg` for references that were rendered with it, as the published ones were; `librsvg` supports more, and is
    faster."""
    width: Count = 336
    """Width of every image in pixels, whatever the document says."""
    height: Count = 336
    """Height of every image in pixels, whatever the document says."""
    background: str = "white"
    """Color where the document is transparent, as CSS names it."""
    timeout_s: Positive = 10.0
    """Seconds of CPU time of one image, and of wall time, less the time spent waiting for a processor."""
    sandbox: SandboxSettings = SandboxSettings()

    @field_validator("background")
    @classmethod
    def _a_color(cls, name: str) -> str:
        ImageColor.getrgb(name)
        return name


SVG = Kind(
    name="svg",
    languages=(SVG_LANGUAGE,),
    render_settings=SvgSettings,
    prompts={
        "svg": """\
<image>
Write an SVG document that draws this picture. Match every shape in its place, size, colour and stroke, what lies over \
what, and any text word for word. Give the <svg> element xmlns="http://www.w3.org/2000/svg" and a viewBox, and refer to \
nothing outside of the document. Answer with the whole document in one ```svg block and nothing else.""",
    },
    examples={
        "svg": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="5" height="5"/></svg>',
    },
    runs_in="sandbox",
    file_references="visual_erm.guard.tampering:forbidden_reference",
    raster="visual_erm.guard.raster:raster_in",
    size=SCENE_SIZE,
    local_comparison=LocalComparison(
        categories=("structure_error", "shape_error", "style_error", "text_symbol_error"),
        limits="OCR, colors and shapes; blind to fonts, gradients and textures",
        read="visual_erm.vision.readings:read_scene",
        compare="visual_erm.judge.local.charts:compare_drawings",
        weight=scene_weight,
    ),
)
