r"""`Kind`: the declaration of a kind of code. Everything that differs between kinds stands in it.

Functions and classes that need heavy libraries (a browser, OpenCV, OCR) are given by name, as `package.module:attribute`,
and are imported when they are first needed. A kind outside of this package may give the function itself.

    KIND = Kind(
        name="shapes",
        languages=(Language("shapes", labels=("shapes",), suffixes=(".shapes",), find_fenced=whole_block("shapes")),),
        render_settings=ShapeSettings,
        prompts={"shapes": "<image>\nWrite the shapes in this image …"},
        examples={"shapes": "circle 10 10 5"},
    )
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from visual_erm.extract.code import Language
from visual_erm.spec.base import Settings

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Named = str | Callable[..., Any]
"""A function or class, or its name as `package.module:attribute`."""


def resolve(named: Named) -> Callable[..., Any]:
    """The function or class itself; imports its module when it is given by name.

    Args:
        named: The function or class, or its name as `package.module:attribute`.

    Returns:
        The function or class.

    Raises:
        ImportError: The module cannot be imported.
        AttributeError: The module has no such attribute.
    """
    found: Callable[..., Any] = pkgutil.resolve_name(named) if isinstance(named, str) else named
    return found


class RenderSettings(Settings):
    """Base of the settings under `render` of a task. A kind adds its own fields and names its renderer."""

    renderer_class: ClassVar[Named]
    """Called with (settings, pages, low_priority); returns a `Renderer` (visual_erm/render/base.py)."""

    allow_renderer_mismatch: bool = False
    """Compare with references that another renderer, or another version of it, rendered."""


class ImageReading(Protocol):
    """What a guard can read of one image. Every part is computed when it is first asked for."""

    @property
    def image(self) -> Image.Image:
        """The image itself, RGB."""

    @property
    def gray(self) -> np.ndarray:
        """Gray levels, shape (height, width), uint8."""

    @property
    def lines(self) -> Sequence[str]:
        """Text in the image as `Kind.read_text` reads it, one string per line or cell."""


@dataclass(frozen=True)
class PartCounter:
    """One way to count the parts of an image, for the guard against omission and for the scale of a reference."""

    count: Named
    """Takes an `ImageReading`; returns name of the part -> numbers, see `Parts` in visual_erm/guard/omission.py."""
    exact: bool = False
    """The numbers are exact: no share of the parts may be absent. Estimates are granted the task's `slack`."""
    confirm: Named | None = None
    """Takes an `ImageReading`; returns second numbers that the layout does not change, for some of the parts. Of these,
    parts are missing only if the second number is smaller too. Estimates need this only where both images look alike."""


@dataclass(frozen=True)
class LocalComparison:
    """How the local judge compares two images of this kind."""

    categories: tuple[str, ...]
    """The report categories that `compare` uses. A task needs all of them in order to be judged locally."""
    limits: str
    """What it reads and what it cannot see; written to the log once."""
    read: Named
    """Takes (pixels, ocr), where `ocr.lines(crops)` and `ocr.page(image)` read text; returns a reading of one image."""
    compare: Named
    """Takes the readings of reference and prediction; returns a tuple of `Discrepancy`."""
    weight: Callable[[Any], int] = lambda _: 1
    """How many parts a reading holds: bounds the memory of the judge's cache."""
    color: bool = True
    """`pixels` are RGB on white, shape (height, width, 3); false: gray levels, shape (height, width)."""


@dataclass(frozen=True)
class Kind:
    """A kind of code: everything that differs from the other kinds."""

    name: str
    """Short name, for example `chart`."""
    languages: tuple[Language, ...]
    """Languages that a task of this kind may accept."""
    render_settings: type[RenderSettings]
    """Settings under `render` of a task. The class names the renderer."""
    prompts: Mapping[str, str]
    """By language: what the policy is asked unless data preparation is given another prompt. Holds `<image>` once."""
    examples: Mapping[str, str]
    """By language: the smallest code that renders. Preflight scores it as a reply that is valid and wrong."""

    runs_in: Literal["browser", "sandbox", "here"] = "here"
    """What rendering needs of the machine, for preflight. A `sandbox` needs `sandbox` among the render settings."""

    # What the guards read
    file_references: Named | None = None
    """Takes `Code`; returns the first address in it that names a file of the machine, or an empty string. None: the code
    is not searched, because its renderer opens no files or runs in the sandbox, which stops it."""
    raster: Named | None = None
    """Takes `Code`; returns what picture it holds as pixels, or an empty string. None: the code is not searched."""
    read_text: Named = "visual_erm.vision.readings:page_text"
    """Takes (gray, ocr); returns the lines of text in an image, for the guard against injection."""
    parts: tuple[PartCounter, ...] = (
        PartCounter("visual_erm.guard.omission:marks_of", confirm="visual_erm.guard.omission:groups_of"),
    )
    """Ways to count the parts of an image. The first that finds parts in both images is taken, and else the last."""
    marks: Named | None = None
    """Takes (pixels, ocr); returns the `Marks` of visual_erm/guard/plot_marks.py. Images of this kind have axes and frames
    that look alike whatever the values are: they are as similar as their marks at most. None: only whole images are
    compared."""
    compare_text: bool = False
    """Most of an image is text: where much of it is new, the guard against under-reporting compares what is read."""
    size: tuple[PartCounter, ...] = ()
    """Ways to count what a reference holds, for the scale of `scoring.mode: relative`: as many parts as can be wrong. The
    first that finds any is taken, and else the last. Empty: `parts`."""

    # What the local judge compares
    local_comparison: LocalComparison | None = None
    """None: tasks of this kind need a model as judge."""

    reference: str = field(default="", compare=False)
    """How a task file names this kind: its name, or the path of its module. `find_kind` fills it."""

    def languages_of(self, names: Sequence[str]) -> tuple[Language, ...]:
        """The languages of these names.

        Args:
            names: Names as in a task's `languages`, in order of preference.

        Returns:
            The languages in the same order.

        Raises:
            KeyError: The kind has no language of that name.
        """
        known = {language.name: language for language in self.languages}
        return tuple(known[name] for name in names)
