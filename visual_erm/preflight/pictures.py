"""Does the policy see what the judge sees? Images as veRL prepares them, against references as the reward loads them.

A transparent image is the usual trap: the reward puts it on white, and veRL drops the transparency, so that the policy sees
black where most programs hide it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.preflight.context import RunContext
from visual_erm.preflight.data import extent, first_problems, reference_image, scored_keys
from visual_erm.preflight.findings import Finding, Note, Problem
from visual_erm.vision.images import has_transparency, is_upright, load_image

PROCESSOR = "data.mm_processor_kwargs"
LIMITS = {"min_pixels": "shortest_edge", "max_pixels": "longest_edge"}
"""Limits of an image's pixels, and the policy's own names of them. A processor of the Qwen-VL family takes both or none."""
GRID = 16
"""Cells on a side of the grid on which two images are compared."""
MAX_DIFFERENCE = 0.25
"""Largest difference of two images in one cell, 0 to 1, at which both show the same."""


def check_limits(context: RunContext) -> Iterator[Finding]:
    """Checks that veRL, its update and its rollouts all resize images alike.

    A processor ignores one limit without the other in a call, and vLLM obeys it: the policy would write its replies about
    other images than those that it is updated with.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    given = context.get(PROCESSOR) or {}
    for prefix in ("", "images_kwargs."):
        there = [name for name in LIMITS if context.get(f"{PROCESSOR}.{prefix}{name}") is not None]
        if len(there) != 1:
            continue
        (missing,) = LIMITS.keys() - there
        own = (_image_processor(context).get("size") or {}).get(LIMITS[missing], "PIXELS")
        yield Problem(
            f"{PROCESSOR}.{prefix}{there[0]}",
            f"without `{missing}`, the update ignores it, and vLLM obeys it: rollout and update would see different images",
            f"give +{PROCESSOR}.{prefix}{missing}={own} as well, or make the images smaller in the data (--longest-side of "
            "data_prep/)",
        )  # fmt: skip
    asked = context.get("data.image_patch_size")
    if asked is not None:
        real = _image_processor(context).get("patch_size")
        if real is not None and asked != real:
            yield Problem(
                "data.image_patch_size",
                f"{asked}, but the policy's patches have {real} pixels: rows would pass that are too long for the rollout",
                "give data.image_patch_size=null: veRL then asks the policy",
            )  # fmt: skip
    yield Note(", ".join(map(str, given)) or "those of the policy")


def check_images(context: RunContext) -> Iterator[Finding]:
    """Checks that the policy sees each reference as the reward compares with it.

    Args:
        context: The run.

    Yields:
        Problems, and a note on what was looked at.
    """
    if "renderer" not in context.needs:
        return
    for key in scored_keys(context):
        otherwise, others = [], 0
        for row, loaded in zip(context.rows[key], context.loaded(key), strict=True):
            try:
                reference = reference_image(context, row)
            except (ConfigError, ReferenceUnavailable):
                continue
            if not loaded.images or min(difference(image, reference) for image in loaded.images) <= MAX_DIFFERENCE:
                continue
            reasons = [reason_for(content, reference) for content in _contents(row.content, context.config.data.image_key)]
            if reason := next(filter(None, reasons), ""):
                otherwise.append((row, reason))
            else:
                others += 1
        yield from first_problems(
            f"data.{key}", otherwise,
            "store it as the judge sees it: `visual_erm.vision.images.load_image(FILE).save(FILE)`, or make the data with "
            "data_prep/",
        )  # fmt: skip
        if others:
            yield Note(f"data.{key}: {others} prompts show another image than their reference")
    yield Note(extent(context, scored_keys(context)))


def difference(image: Image.Image, other: Image.Image) -> float:
    """Compares two images that may differ in size, after each is shrunk to a grid.

    Args:
        image: An image in mode RGB.
        other: Another.

    Returns:
        The largest difference of a cell's mean color, 0 (the same) to 1 (black against white).
    """
    cells = [np.asarray(one.resize((GRID, GRID), Image.Resampling.BOX), dtype=float) for one in (image, other)]
    return float(np.abs(cells[0] - cells[1]).mean(axis=2).max() / 255)


def reason_for(content: bytes | Path, reference: Image.Image) -> str:
    """Says why the policy sees an image otherwise than the judge.

    Args:
        content: The image as the row stores it.
        reference: The reference as the judge sees it.

    Returns:
        The reason; empty where the image is not the reference.
    """
    try:
        if difference(load_image(content), reference) > MAX_DIFFERENCE:
            return ""
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            transparent, turned, mode = has_transparency(image), not is_upright(image), image.mode
    except (ReferenceUnavailable, OSError):
        return ""
    if transparent:
        return "its image is transparent: the judge sees it on white, the policy sees black or what the file hides there"
    if turned:
        return "its image is turned by its EXIF orientation, which the judge obeys and veRL does not"
    return f"veRL decodes its image (mode {mode}) otherwise than the judge"


def _contents(row: Mapping[str, Any], key: str) -> Iterator[bytes | Path]:
    """Lists the images of a row as it stores them, but those that are elsewhere."""
    for image in row.get(key) or ():
        if isinstance(image, Mapping):
            image = image.get("bytes") or image.get("image") or image.get("path")
        if isinstance(image, bytes):
            yield image
        elif isinstance(image, str) and Path(image.removeprefix("file://")).is_file():
            yield Path(image.removeprefix("file://"))


def _image_processor(context: RunContext) -> dict[str, Any]:
    """Reads the settings of the policy's image processor; empty where there are none."""
    try:
        return context.verl_check.image_settings()
    except ConfigError:
        return {}
