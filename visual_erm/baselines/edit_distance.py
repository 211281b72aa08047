"""Edit distance: how alike two pieces of code are as texts."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein


def edit_similarity(prediction: str, truth: str) -> float:
    r"""Compares two texts: 1 - Levenshtein(prediction, truth) / length of the longer one.

    The normalised edit distance of table and document parsing (OmniDocBench, arXiv 2412.07626), turned round. Runs of white
    space count as one blank.

    Args:
        prediction: The reply's code.
        truth: The ground truth's code.

    Returns:
        0 (nothing in common) to 1 (the same).

    >>> edit_similarity("<td>1</td>\n", "<td>2</td>")
    0.9
    """
    return Levenshtein.normalized_similarity(" ".join(prediction.split()), " ".join(truth.split()))
