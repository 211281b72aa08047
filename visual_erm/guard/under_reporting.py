"""The guard `under_reporting`: a judge that reports next to nothing about images that plainly differ.

The guard measures how similar both images are, and the severity that must follow from it. Each image becomes a thumbnail of
its foreground, cropped to it. The two are laid over each other where they fit best, and are compared in two ways:

- Structural similarity (SSIM): whether there is foreground where there should be, and as much of it.
- Correlation of blurred thumbnails: whether there is foreground in the same places. Hair lines, dashes, rules, pale colors
  and other fonts hardly change it.

The larger of the two counts. So margins, small shifts, compression, single characters and the width of lines do not:
those are for the judge to see. Size does not count either, unless it is the trick: a foreground that covers less than half
of the width or height that the reference's covers, as a share of the image, or more than twice as much, is less similar.

Axes and grids make charts and tables look alike whatever they say. So the marks of charts are compared apart
(`plot_marks.py`), and the text of tables where much of it is new.

    severity_floor(similarity(reference, prediction), min_similarity=0.4, max_severity=50)
    text_floor(*wrong_words(lines_of_reference, lines_of_prediction), max_severity=50)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from rapidfuzz.distance import LCSseq
from scipy import ndimage
from skimage.metrics import structural_similarity

from visual_erm.guard.omission import WORD
from visual_erm.vision.foreground import MIN_CONTRAST, foreground

THUMBNAIL_SIDE = 32
"""Longer side of a thumbnail in pixels: lines of text become gray, cells and bars stay apart."""
MIN_SIDE = 4
"""Shorter side of a thumbnail in pixels. A thinner foreground gets ground round it: stretched, one hair line would be
unlike another that is a little thicker."""
MIN_CROP = 0.5
"""Longer side of what is compared, as a share of the image's. A small shape gets ground round it: enlarged, its thick lines
would be unlike thin ones."""
MAX_SHIFT = 2
"""Largest distance, in pixels of a thumbnail, by which it is moved to fit better."""
WINDOW_SIGMA = 1.0
"""Standard deviation, in pixels of a thumbnail, of the neighborhood that is compared."""
BLUR_SIGMA = 1.0
"""Standard deviation, in pixels of a thumbnail, by which it is blurred before it is correlated."""
BLUR_MARGIN = 3
"""Ground round a thumbnail that is blurred, in pixels of it."""
CHANCE_CORRELATION = 0.7
"""Correlation of images that have little in common but that both show something in the middle, or lines of text."""
EXTENTS = (0.25, 0.5)
"""Ratio of two extents up to which nothing of the similarity is left, and from which it is whole. An extent is the width or
the height of the foreground as a share of the image's."""
MIN_EXTENT = 0.125
"""Extents below this are all alike: those of lines, which may be thin or thick."""
MIN_NEW_WORDS = 4
"""Number of words that only the prediction shows, from which both texts are read and compared."""
WORD_SLACK, MIN_WORD_SLACK = 0.3, 8
"""Share of the reference's words, and their number, that may be wrong: fonts are misread, and lines wrap elsewhere."""
MAX_CROP = 8192
"""Longest side of a crop, in pixels; a longer one is scaled down. Ground that is added to a sliver makes it large."""
EMPTY_FOREGROUND = 0.02
"""Mean foreground, 0 to 1, up to which a neighborhood is empty."""


def severity_floor(similarity: float, min_similarity: float, max_severity: float) -> float:
    """Computes the least severity of two images.

    Args:
        similarity: Their similarity, -1 to 1.
        min_similarity: Similarity, over 0 and up to 1, from which the floor is 0.
        max_severity: The severity at which a sample earns the least. The floor of images without similarity is half of it.

    Returns:
        The floor, 0 to half of `max_severity`, in proportion to how far the similarity is below `min_similarity`.

    >>> severity_floor(0.3, min_similarity=0.4, max_severity=50)
    6.25
    """
    return round(max(0.0, 1 - max(similarity, 0.0) / min_similarity) * max_severity / 2, 2)


def count_words(lines: Sequence[str]) -> int:
    """Counts words and numbers.

    Args:
        lines: Lines of text.

    Returns:
        Their number.
    """
    return len(_words(lines))


def wrong_words(reference: Sequence[str], prediction: Sequence[str]) -> tuple[int, int]:
    """Counts the words of a text that are missing, surplus, or in another order.

    Args:
        reference: Lines of the reference's text.
        prediction: Lines of the prediction's.

    Returns:
        The number of wrong words, and of all words of the reference.

    >>> wrong_words(["one two", "three"], ["one", "five", "three"])
    (1, 3)
    """
    wanted, found = _words(reference), _words(prediction)
    return max(len(wanted), len(found)) - int(LCSseq.similarity(wanted, found)), len(wanted)


def reads_alike(wrong: int, words: int) -> bool:
    """Tells whether two texts are alike: then the arrangement may be another one.

    Args:
        wrong: Number of wrong words, from `wrong_words`.
        words: Number of the reference's words.

    Returns:
        Whether there are words, and at most a share of WORD_SLACK is wrong.
    """
    return words > 0 and wrong <= WORD_SLACK * words


def text_floor(wrong: int, words: int, max_severity: float) -> float:
    """Computes the least severity of two texts: 1 for each wrong word, but for those that reading may get wrong.

    Args:
        wrong: Number of wrong words, from `wrong_words`.
        words: Number of the reference's words.
        max_severity: The severity at which a sample earns the least.

    Returns:
        The floor, 0 to half of `max_severity`.

    >>> text_floor(40, 100, max_severity=50)
    10.0
    """
    return round(min(max(0.0, wrong - max(WORD_SLACK * words, MIN_WORD_SLACK)), max_severity / 2), 2)


def _words(lines: Sequence[str]) -> list[str]:
    return [word.casefold() for line in lines for word in WORD.findall(line)]


def similarity(reference: Image.Image, prediction: Image.Image) -> float:
    """Measures how similar two images look from afar.

    Args:
        reference: The reference image; its proportions are those of the thumbnails.
        prediction: The other image.

    Returns:
        1 for the same image, about 0 for nothing in common, -1 at least.
    """
    (wanted, wanted_extents), (found, found_extents) = _cropped(reference), _cropped(prediction)
    scale = THUMBNAIL_SIDE / max(wanted.size)
    size = (max(MIN_SIDE, round(wanted.width * scale)), max(MIN_SIDE, round(wanted.height * scale)))
    still, moving = _thumbnail(wanted, size), _thumbnail(found, size)
    alike = max(_structural_similarity(still, moving), _correlation(still, moving))
    return alike * _kept(wanted_extents, found_extents) if alike > 0 else alike


def _kept(wanted: Sequence[float], found: Sequence[float]) -> float:
    """The share of the similarity that is left where extents differ, 0 to 1."""
    ratio = min(min(pair) / max(pair) for pair in zip(wanted, found, strict=True))
    none, whole = EXTENTS
    return min(max((ratio - none) / (whole - none), 0.0), 1.0)


def _cropped(image: Image.Image) -> tuple[Image.Image, tuple[float, float]]:
    """The foreground of an image, cropped to it, with ground above and below, or left and right, where it is thin.

    The extents are its height and its width.
    """
    levels = foreground(image)
    visible = levels >= MIN_CONTRAST
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if len(rows):
        levels = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(MIN_EXTENT, part / side) for part, side in zip(levels.shape, visible.shape, strict=True))
    grown = max(1.0, MIN_CROP * max(visible.shape) / max(levels.shape))
    if (reduction := math.ceil(max(levels.shape) / MAX_CROP)) > 1:
        levels = np.asarray(Image.fromarray(levels).reduce(reduction))
    least = max(levels.shape) * MIN_SIDE // THUMBNAIL_SIDE
    sides = [round(max(least, side) * grown) for side in levels.shape]
    padding = [(max(0, wanted - side) // 2,) * 2 for wanted, side in zip(sides, levels.shape, strict=True)]
    return Image.fromarray(np.pad(levels, padding)), (height, width)


def _thumbnail(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(image.resize(size, Image.Resampling.BOX), dtype=float) / 255


def _shifted(moving: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The parts of a thumbnail with ground round it that lie over another one, at each move up to MAX_SHIFT."""
    height, width = shape
    moving = np.pad(moving, MAX_SHIFT)
    for down in range(2 * MAX_SHIFT + 1):
        for right in range(2 * MAX_SHIFT + 1):
            yield moving[down : down + height, right : right + width]


def _correlation(still: np.ndarray, moving: np.ndarray) -> float:
    """How far foreground lies in the same places: 1 for the same ones, up to 0 for CHANCE_CORRELATION and less."""
    one, other = (ndimage.gaussian_filter(np.pad(image, BLUR_MARGIN), BLUR_SIGMA) for image in (still, moving))
    one = _standard(one)
    best = max(float(np.vdot(one, _standard(shifted))) for shifted in _shifted(other, one.shape))
    return (best - CHANCE_CORRELATION) / (1 - CHANCE_CORRELATION)


def _standard(image: np.ndarray) -> np.ndarray:
    """An image with mean 0 and length 1, so that a product of two is Pearson's correlation. A level one is all 0."""
    image = image - image.mean()
    length = float(np.sqrt(np.vdot(image, image)))
    return image / length if length else image


def _structural_similarity(still: np.ndarray, moving: np.ndarray) -> float:
    blurred = ndimage.gaussian_filter(still, WINDOW_SIGMA)
    return max(_ssim(still, blurred, shifted) for shifted in _shifted(moving, still.shape))


def _ssim(one: np.ndarray, blurred: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity where either thumbnail shows something: empty ground is alike in all images.

    `win_size` only has to be smaller than the thumbnail: the neighborhood is a Gaussian of `sigma` pixels.
    """
    shown = np.maximum(blurred, ndimage.gaussian_filter(other, WINDOW_SIGMA)) > EMPTY_FOREGROUND
    if not shown.any():
        return 1.0
    _, similar = structural_similarity(
        one,
        other,
        win_size=3,
        sigma=WINDOW_SIGMA,
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    return float(np.mean(similar[shown]))
