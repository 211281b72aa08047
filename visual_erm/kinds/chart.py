"""The kind `chart`: Python scripts that plot with matplotlib, pandas or seaborn, run in the sandbox."""

from __future__ import annotations

from typing import Any

from visual_erm.extract.languages import PYTHON
from visual_erm.kinds.base import Kind, LocalComparison, PartCounter, RenderSettings
from visual_erm.spec.base import Count, Positive
from visual_erm.spec.sandbox import SandboxSettings


class ChartSettings(RenderSettings):
    """How a Python script becomes an image."""

    renderer_class = "visual_erm.render.chart:ChartRenderer"

    timeout_s: Positive = 15.0
    """Limit of one script in seconds: CPU time, and wall time less the time spent waiting for a processor. docs/sandbox.md
    says whose fault a time-out is."""
    dpi: Count = 100
    """Resolution of a figure that the script does not save with a resolution of its own, in dots per inch."""
    max_pixels: Count = 16_000_000
    """Width times height of the finished image; over it the code is at fault."""
    sandbox: SandboxSettings = SandboxSettings()


def scene_weight(scene: Any) -> int:
    """Counts the parts of a scene.

    Args:
        scene: A reading that `read_scene` made.

    Returns:
        One and the number of marks and texts.
    """
    return 1 + len(scene.marks) + len(scene.texts)


SCENE_SIZE = (PartCounter("visual_erm.judge.local.elements:weight_of"),)
"""A cloud of points or a curve is one thing to get wrong, however many marks it consists of."""

CHART = Kind(
    name="chart",
    languages=(PYTHON,),
    render_settings=ChartSettings,
    prompts={
        "python": """\
<image>
Write a Python script that draws the chart in this picture with matplotlib. Match what it shows: the kind of plot and the \
arrangement of its panels, every value as closely as you can read it, all titles, labels, ticks and legends word for word, \
and the colours, markers, line styles and proportions. You may use numpy, pandas, scipy and seaborn as well, but no files \
and no network: write the data into the script. Answer with the whole script in one ```python block and nothing else.""",
    },
    examples={"python": "import matplotlib.pyplot as plt\nplt.plot([1, 2], [1, 2])\nplt.show()"},
    runs_in="sandbox",
    raster="visual_erm.guard.raster:raster_in",
    marks="visual_erm.guard.plot_marks:marks_of",
    size=SCENE_SIZE,
    local_comparison=LocalComparison(
        categories=("structure_error", "data_error", "text_error", "style_error"),
        limits="OCR, colors and marks; blind to fonts, line styles and textures",
        read="visual_erm.vision.readings:read_scene",
        compare="visual_erm.judge.local.charts:compare_charts",
        weight=scene_weight,
    ),
)
