"""Divides an image into grounds, which are large enough that something may lie on them, and ink, which lies on them.

Pixels belong together where a color runs on without a jump, so a gradient is one region. The half-tones along an edge lie
between the colors to both sides of it, and are neither ground nor ink.

    found = layers(pixels)
    labels, count = pieces(pixels, found, found.contrast > 0)
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from visual_erm.vision.colors import color_distance, largest

MAX_STEP = 10
"""Largest difference of a channel between neighbours in one region."""
MIN_GROUND_SHARE = 0.004
"""Area of the smallest ground, as a share of the image."""
MIN_GROUND_RADIUS = 4
"""Smallest distance in pixels from the middle of a ground to its edge: letters and lines are no ground."""
MOSAIC_SHARE = 0.5
"""Share of the image that is on grounds of that size. With less, small fields are grounds too, as in a map of values."""
MAX_GROUNDS = 400
"""Largest number of grounds."""
MAX_GROUND_COLORS = 12
"""Number of largest grounds whose color makes a smaller region ground as well, for example between two bars."""
BLUR_RADIUS = 2
"""Distance in pixels from the middle of an edge up to which its half-tones reach."""
MIN_CONTRAST = 36
"""Difference of a channel below which ink on a ground is not seen."""
MIN_INK_COSINE = 0.94
"""Smallest cosine between the directions in which two pixels of one ink differ from their ground."""
MAX_INKS = 24
"""Number of inks that are told apart where they touch, the most frequent ones."""
SAME_INK_COSINE = 0.9986
"""Smallest cosine between an ink's direction and that of its pixels, half-tones included: 3 degrees."""
OTHER_INK_COSINE = 0.978
"""Largest cosine between two inks: 12 degrees."""
MIN_INK_SHARE = 0.02
"""Share of a piece that an ink covers at least, if the piece is divided."""
MIN_PURE_SHARE = 0.7
"""Share of a piece that its inks cover at least, if it is divided. With less its colors run into each other."""
MAX_CROSSING = 6
"""Half the width in pixels of what may lie across a line of one of several inks."""
INK_SAMPLE = 50_000
"""Number of pixels that the inks of an image are found in."""
MIN_INK_PIXELS = 4
"""Number of pixels of the smallest piece of ink."""


@dataclass(frozen=True)
class Layers:
    """Arrays of shape (height, width)."""

    grounds: np.ndarray
    """Which ground a pixel is of, from 1; 0 for none."""
    count: int
    beneath: np.ndarray
    """The color of the nearest ground: (height, width, 3), uint8."""
    contrast: np.ndarray
    """By how much a pixel stands out from the grounds around it; 0 where it is no ink: uint8."""


def layers(pixels: np.ndarray) -> Layers:
    """Divides an image into grounds and ink.

    Args:
        pixels: RGB, shape (height, width, 3), uint8.

    Returns:
        The layers.
    """
    grounds, count = _grounds(pixels)
    if not count:
        height, width = pixels.shape[:2]
        flat = np.zeros((height, width), np.uint8)
        return Layers(flat.astype(np.int32), 0, pixels, flat)
    _, nearest = cv2.distanceTransformWithLabels(
        (grounds == 0).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    at, off = np.flatnonzero(grounds), np.flatnonzero(grounds == 0)
    home = np.zeros(int(nearest.max()) + 1, np.int64)
    home[nearest.ravel()[at]] = at
    beneath = pixels.copy()
    beneath.reshape(-1, 3)[off] = pixels.reshape(-1, 3)[home[nearest.ravel()[off]]]
    window = np.ones((2 * BLUR_RADIUS + 1, 2 * BLUR_RADIUS + 1), np.uint8)
    low, high = cv2.erode(beneath, window), cv2.dilate(beneath, window)
    contrast = largest(cv2.max(cv2.subtract(low, pixels), cv2.subtract(pixels, high)))
    contrast[(contrast < MIN_CONTRAST) | (grounds > 0)] = 0
    return Layers(grounds, count, beneath, contrast)


def _grounds(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Large thick regions, the largest first, numbered from 1."""
    height, width = pixels.shape[:2]
    across = color_distance(np.ascontiguousarray(pixels[:, 1:]), np.ascontiguousarray(pixels[:, :-1])) <= MAX_STEP
    down = color_distance(pixels[1:], pixels[:-1]) <= MAX_STEP
    inner = np.ones((height, width), np.uint8)
    inner[:, 1:] &= across
    inner[1:] &= down
    links = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    links[::2, ::2] = 1
    level, upright = _half_tones(pixels, down), _half_tones(pixels.swapaxes(0, 1), across.T).T
    links[::2, 1::2] = across & ~level[:, 1:] & ~level[:, :-1]
    links[1::2, ::2] = down & ~upright[1:] & ~upright[:-1]
    _, labels = cv2.connectedComponents(links, connectivity=4)
    labels = np.ascontiguousarray(labels[::2, ::2])
    sizes = np.bincount(labels.ravel())
    depth = cv2.distanceTransform(np.pad(inner, 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    numbers = np.zeros(len(sizes), np.int32)
    deep = np.flatnonzero(depth >= MIN_GROUND_RADIUS)
    thick, first = np.unique(labels.ravel()[deep], return_index=True)
    colors = pixels.reshape(-1, 3)[deep[first]].astype(np.int16)
    order = np.argsort(-sizes[thick], kind="stable")
    thick, colors = thick[order], colors[order]
    count = min(int((sizes[thick] >= MIN_GROUND_SHARE * labels.size).sum()), MAX_GROUNDS)
    if sizes[thick[:count]].sum() < MOSAIC_SHARE * labels.size:
        count = min(len(thick), MAX_GROUNDS)
    rest = slice(count, count + MAX_GROUNDS)
    same = np.abs(colors[rest, None] - colors[None, : min(count, MAX_GROUND_COLORS)]).max(axis=2) <= MAX_STEP
    large, alike = thick[:count], thick[rest][same.any(axis=1)]
    numbers[large] = np.arange(1, len(large) + 1)
    numbers[alike] = np.arange(len(large) + 1, len(large) + len(alike) + 1)
    return numbers[labels], len(large) + len(alike)


def _half_tones(pixels: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Which pixels lie between the colors above and below them, unlike both.

    Along an edge that is nearly level, the half-tones run from the color of one side to that of the other in small steps.
    A region does not run on through them.
    """
    steps = np.diff(pixels.astype(np.int16), axis=0)
    found = np.zeros(pixels.shape[:2], bool)
    found[1:-1] = ~down[1:] & ~down[:-1] & ((steps[1:].astype(np.int32) * steps[:-1]).sum(axis=2) > 0)
    return found


def pieces(pixels: np.ndarray, found: Layers, ink: np.ndarray) -> tuple[np.ndarray, int]:
    """Divides ink into connected pieces of one color.

    Lines of several colors that cross hang together through the half-tones between them. Such a piece is divided by color.

    Args:
        pixels: RGB, shape (height, width, 3), uint8.
        found: Its layers.
        ink: Which pixels are ink, shape (height, width), bool.

    Returns:
        The number of each pixel's piece, the largest piece first, from 1; 0 for none and for specks: shape (height, width),
        int32. And how many pieces there are.
    """
    places = np.flatnonzero(ink)
    labels = np.zeros(ink.shape, np.int32)
    if not len(places):
        return labels, 0
    away = pixels.reshape(-1, 3)[places].astype(np.float32) - found.beneath.reshape(-1, 3)[places]
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1)
    index = np.full(ink.size, -1, np.int64)
    index[places] = np.arange(len(places))
    height, width = ink.shape
    rows, columns = np.divmod(places, width)
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        valid = (rows + down < height) & (columns + right < width) & (columns + right >= 0)
        start = np.flatnonzero(valid)
        stop = index[places[start] + down * width + right]
        start, stop = start[stop >= 0], stop[stop >= 0]
        alike = np.einsum("ij,ij->i", away[start], away[stop]) >= MIN_INK_COSINE
        ends.append((start[alike], stop[alike]))
    start, stop = (np.concatenate([pair[side] for pair in ends]) for side in (0, 1))
    graph = coo_matrix((np.ones(len(start), np.int8), (start, stop)), shape=(len(places), len(places)))
    _, members = connected_components(graph, directed=False)
    core = found.contrast == cv2.dilate(found.contrast, np.ones((3, 3), np.uint8))
    members = _divided(members, _inks(away, core.ravel()[places], members), places, ink.shape)
    sizes = np.bincount(members)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= MIN_INK_PIXELS]
    numbers = np.zeros(len(sizes), np.int32)
    numbers[order] = np.arange(1, len(order) + 1)
    labels.ravel()[places] = numbers[members]
    return labels, len(order)


def _divided(members: np.ndarray, inks: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pieces of ink once more, those that hold several inks divided by ink; what crosses a line does not cut it."""
    window = np.ones((2 * MAX_CROSSING + 1, 2 * MAX_CROSSING + 1), np.uint8)
    divided = members.astype(np.int64)
    for number in np.unique(inks[inks > 0]):
        own = np.flatnonzero(inks == number)
        mask = np.zeros(shape, np.uint8)
        mask.ravel()[places[own]] = 1
        count, near = cv2.connectedComponents(cv2.dilate(mask, window))
        divided[own] = divided.max() + 1 + members[own].astype(np.int64) * count + near.ravel()[places[own]]
    return np.unique(divided, return_inverse=True)[1]


def _inks(away: np.ndarray, core: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The number of the ink of each pixel in a piece that holds several of them, else 0.

    `away` are the directions in which pixels differ from their ground, (n, 3), and `members` the pieces that they are in.
    An ink has pixels in `core`, where nothing beside them stands out more: along the edges of lines colors are mixed.
    """
    pure = away[core]
    found = _directions(pure[:: len(pure) // INK_SAMPLE + 1])
    inks = np.zeros(len(away), np.int64)
    if len(found) < 2:
        return inks
    likeness = away @ found.T
    nearest = likeness.argmax(axis=1)
    pure = likeness[np.arange(len(away)), nearest] >= SAME_INK_COSINE
    sizes = np.bincount(members)
    covered = np.bincount(members[pure] * len(found) + nearest[pure], minlength=len(sizes) * len(found))
    covered = covered.reshape(len(sizes), len(found))
    large = covered >= np.maximum(MIN_INK_SHARE * sizes, MIN_INK_PIXELS)[:, None]
    mixed = (large.sum(axis=1) > 1) & ((covered * large).sum(axis=1) >= MIN_PURE_SHARE * sizes)
    divided = mixed[members]
    inks[divided] = 1 + np.where(large[members[divided]], likeness[divided], -2).argmax(axis=1)
    return inks


def _directions(away: np.ndarray) -> np.ndarray:
    """The directions of the most frequent inks: (at most MAX_INKS, 3)."""
    found: list[np.ndarray] = []
    steps = (np.round(away * 20) + 20).astype(np.int64)
    codes = (steps[:, 0] * 41 + steps[:, 1]) * 41 + steps[:, 2]
    counts = np.bincount(codes)
    while len(found) < MAX_INKS and counts.max(initial=0) >= MIN_INK_PIXELS:
        code = int(counts.argmax())
        own = away[codes == code].mean(axis=0)
        own = away[away @ own >= SAME_INK_COSINE * np.linalg.norm(own)].mean(axis=0)
        own /= max(float(np.linalg.norm(own)), 1e-6)
        counts[code] = 0
        if all(float(own @ other) <= OTHER_INK_COSINE for other in found):
            found.append(own)
    return np.array(found, np.float32).reshape(-1, 3)
