"""Edit distance: how alike two pieces of code are as texts."""

from __future__ import annotations

from rapidfuzz.distance import Levenshtein


def edit_similarity(prediction: str, truth: str) -> float:
    """1 - Levenshtein(prediction, truth) / the longer one's length, 0 to 1, runs of white space counting as one blank.

    The normalised edit distance of table and document parsing (OmniDocBench, arXiv 2412.07626), turned round.

    >>> edit_similarity("<td>1</td>\\n", "<td>2</td>")
    0.9
    """
    return Levenshtein.normalized_similarity(" ".join(prediction.split()), " ".join(truth.split()))
