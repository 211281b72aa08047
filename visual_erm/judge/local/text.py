"""How badly two texts differ, for whatever is compared: cells of tables, labels of charts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from visual_erm.vision.table_cells import UNREADABLE

SHOWN = 60
"""Characters of a text quoted in a description."""

_NUMBER = re.compile(r"(?:(?<![\w).])[-+])?\d+(?:[.,]\d+)*")
CHUNK = re.compile(r"[^\W_]+(?:[.,][^\W_]+)*")
_SIGNS = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣-", "-") | dict.fromkeys("‘’‚′`´", "'") | dict.fromkeys("“”„″", '"'))
_RAISED = str.maketrans({raised: f"^{flat}" for raised, flat in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True)})
_NOT_RAISED = re.compile("[^⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_AMONG_DIGITS = str.maketrans("OoIl", "0011")
_AMONG_LETTERS = str.maketrans("I", "l")
_LONE = str.maketrans("OoIl|CKPSUVWXZ一", "00111ckpsuvwxz-")


def text_severity(reference: list[str], prediction: list[str]) -> np.ndarray:
    """Measures how badly texts differ.

    Args:
        reference: n texts of the reference.
        prediction: m texts of the prediction.

    Returns:
        Severities from 0 to 3, shape (n, m).
        0: the same but for blanks and signs that look alike. 1: nearly the same. 2: half the same, or another number of
        the same order. 3: less in common, or one is empty.
    """
    unique = [list(dict.fromkeys(texts)) for texts in (reference, prediction)]
    rows, columns = (
        [places[text] for text in texts]
        for texts, places in zip((reference, prediction), ({t: k for k, t in enumerate(u)} for u in unique), strict=True)
    )
    return _unique_severity(*unique)[np.ix_(rows, columns)]


def _unique_severity(reference: list[str], prediction: list[str]) -> np.ndarray:
    compared = [[normalize(text) for text in texts] for texts in (reference, prediction)]
    folded = [[text.casefold() for text in texts] for texts in compared]
    alike = cdist(*folded, scorer=Indel.normalized_similarity, dtype=np.float32)
    severity = np.select([alike >= 0.8, alike >= 0.5], [1, 2], 3)

    numbers = [[tuple(_NUMBER.findall(text)) for text in texts] for texts in compared]
    quantity = np.array([is_quantity(text) for text in compared[0]], dtype=bool)
    severity = np.where(~equal(*numbers) | quantity[:, None], np.maximum(severity, 2), severity)
    values = [np.array([_value(found) for found in part], dtype=float) for part in numbers]
    severity = np.where(_far(values[0][:, None], values[1][None, :]), 3, severity)

    severity = np.where(equal(*folded), 1, severity)
    blank = [np.array([not text for text in part], dtype=bool) for part in compared]
    severity = np.where(blank[0][:, None] != blank[1][None, :], 3, severity)
    return np.where(equal(*compared), 0, severity)


def equal(reference: Sequence[object], prediction: Sequence[object]) -> np.ndarray:
    """Tells which items are equal.

    Args:
        reference: n items that can be hashed.
        prediction: m items that can be hashed.

    Returns:
        Whether each pair is equal, shape (n, m), bool.
    """
    numbers: dict[object, int] = {}
    keys = [
        np.array([numbers.setdefault(item, len(numbers)) for item in part], dtype=int) for part in (reference, prediction)
    ]
    return keys[0][:, None] == keys[1][None, :]


def plain(text: str) -> str:
    """Replaces variants of dashes, quotes and compatible characters by their plain form.

    Args:
        text: A text.

    Returns:
        The plain text. Superscripts stay as they are: m² is not m2, and 10⁶ is not 106.
    """
    return _NOT_RAISED.sub(lambda part: unicodedata.normalize("NFKC", part[0]), text).translate(_SIGNS)


def normalize(text: str) -> str:
    """Returns what is compared of a text.

    Args:
        text: A text as OCR read it.

    Returns:
        The text without blanks, and with one form for the signs that OCR confuses because they look the same.
    """
    compared = CHUNK.sub(lambda chunk: _unmistakable(chunk[0]), "".join(plain(text).split()).translate(_RAISED))
    return compared.translate(_LONE) if len(compared) == 1 else compared


def _unmistakable(chunk: str) -> str:
    return chunk.translate(_AMONG_DIGITS if any(map(str.isdigit, chunk)) else _AMONG_LETTERS)


def is_quantity(text: str) -> bool:
    """Tells whether a text is a number.

    Args:
        text: A text.

    Returns:
        Whether at least half of its letters and digits are digits.
    """
    digits = sum(character.isdigit() for character in text)
    return digits > 0 and 2 * digits >= sum(character.isalnum() for character in text)


def _value(numbers: tuple[str, ...]) -> float:
    """The value of a text with one number, else NaN."""
    if len(numbers) != 1:
        return np.nan
    text = re.sub(r",(?=\d{3}(?:\D|$))", "", numbers[0]).replace(",", ".")
    try:
        return float(text[:300])
    except ValueError:
        return np.nan


def _far(reference: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Which values differ in sign or by more than a factor of two; NaN is never far."""
    small, large = np.minimum(np.abs(reference), np.abs(prediction)), np.maximum(np.abs(reference), np.abs(prediction))
    return (large > 2 * small) | (reference * prediction < 0)


def is_numeric(reference: str, prediction: str) -> bool:
    """Tells whether a difference concerns numbers.

    Args:
        reference: Text of the reference.
        prediction: Text of the prediction.

    Returns:
        Whether the reference is a number, or the numbers in both texts differ.
    """
    compared = normalize(reference), normalize(prediction)
    if is_quantity(compared[0]):
        return True
    here, there = (_NUMBER.findall(text) for text in compared)
    return bool(here and there and here != there)


def quote(text: str) -> str:
    """Quotes a text in a description.

    Args:
        text: A text, empty, or UNREADABLE.

    Returns:
        At most SHOWN characters of it in quotation marks, or words for a text that is empty or unreadable.
    """
    if text in ("", UNREADABLE):
        return "something unreadable" if text else "nothing"
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'
