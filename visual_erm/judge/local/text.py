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
_AMONG_DIGITS = str.maketrans("OoIl", "0011")
_AMONG_LETTERS = str.maketrans("I", "l")
_LONE = str.maketrans("OoIl|CKPSUVWXZ一", "00111ckpsuvwxz-")


def text_severity(reference: list[str], prediction: list[str]) -> np.ndarray:
    """How badly texts differ, from 0 to 3: (n, m).

    0: same but for blanks and signs that look alike; 1: nearly the same; 2: half the same, or another number of the same
    order; 3: less in common, or one is empty.
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
    """Which of reference equals which of prediction: (n, m)."""
    numbers: dict[object, int] = {}
    keys = [
        np.array([numbers.setdefault(item, len(numbers)) for item in part], dtype=int) for part in (reference, prediction)
    ]
    return keys[0][:, None] == keys[1][None, :]


def plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_SIGNS)


def normalize(text: str) -> str:
    """What is compared of a text: no blanks, and one form for the signs that OCR confuses because they look the same."""
    compared = CHUNK.sub(lambda chunk: _unmistakable(chunk[0]), "".join(plain(text).split()))
    return compared.translate(_LONE) if len(compared) == 1 else compared


def _unmistakable(chunk: str) -> str:
    return chunk.translate(_AMONG_DIGITS if any(map(str.isdigit, chunk)) else _AMONG_LETTERS)


def is_quantity(text: str) -> bool:
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
    """Which values differ in sign or by more than a factor of two; NaN is far from nothing."""
    small, large = np.minimum(np.abs(reference), np.abs(prediction)), np.maximum(np.abs(reference), np.abs(prediction))
    return (large > 2 * small) | (reference * prediction < 0)


def is_numeric(reference: str, prediction: str) -> bool:
    """Whether a difference is a matter of numbers: of a number, or of a text whose numbers differ."""
    compared = normalize(reference), normalize(prediction)
    if is_quantity(compared[0]):
        return True
    here, there = (_NUMBER.findall(text) for text in compared)
    return bool(here and there and here != there)


def quote(text: str) -> str:
    if text in ("", UNREADABLE):
        return "something unreadable" if text else "nothing"
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'
