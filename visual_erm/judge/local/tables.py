"""Two readings -> discrepancies, without images, so that leaving out never costs less than getting wrong.

Every part of a table (a cell of a ruled one, a word of an unruled one) has the same mass w = 3. Pairing part p of the
prediction with part r of the reference gains g(p, r) = w - sub(p, r), where sub in 0..3 says how badly they differ. With n
and m parts in reference and prediction,

    S = w * max(n, m) - (largest sum of gains over all pairings that are allowed).

Cells are paired in order: rows with rows and, inside a pair of rows, cells with cells. Words are paired freely.

Theorem: removing any parts from a prediction that has no more parts than the reference (m <= n) never lowers S. The first
term stays w * n; the pairings that remain allowed are among those allowed before, with the same gains; and because gains
are never negative, none of them sums to more than the former maximum. So a policy that drops what it cannot read earns
nothing by it. A part too many (m > n) costs w, as does a part missing: one surplus part makes up for one missing part.

The discrepancies returned sum to exactly S: sub for every pair that differs, w for each part left over on the longer side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from scipy.optimize import linear_sum_assignment

from visual_erm.judge.local.text import CHUNK, equal, is_numeric, plain, shown, text_severity, tight
from visual_erm.reward.report import MAX_SEVERITY, Discrepancy
from visual_erm.vision.table_cells import Cell, Reading

CATEGORIES = ("layout_error", "text_error", "numeric_error")
"""What is reported, a subset of the task's categories."""
MAX_WORDS = 2000
"""Words compared per image, in reading order; the rest is ignored. Pairing them freely takes time in their cube."""

_WORD = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|[^\W_]+")
_SMALL_PRINT = str.maketrans("OoSIlB", "005118")


@dataclass(frozen=True)
class Word:
    """A part of an unruled table."""

    shown: str
    key: str
    """What is compared: what OCR of small print commonly confuses is the same here."""
    place: str


def compare(reference: Reading, prediction: Reading) -> tuple[Discrepancy, ...]:
    """What differs, in CATEGORIES; severities sum to S.

    With a ruled reference cells are compared, and a prediction without ruling pays for that in every cell. Without one
    there are no sure cells: words are compared, whatever their order, and case, punctuation and signs do not count.
    """
    if reference.ruled:
        return _compare_cells(reference, prediction)
    return _compare_words(_words(reference), _words(prediction))


# --- cells -----------------------------------------------------------------------------------------------------------


def _compare_cells(reference: Reading, prediction: Reading) -> tuple[Discrepancy, ...]:
    ours, theirs = reference.cells, prediction.cells
    text = text_severity([cell.text for cell in ours], [cell.text for cell in theirs])
    total = np.minimum(text + _layout_severity(ours, theirs), MAX_SEVERITY)
    pairs = _aligned(MAX_SEVERITY - total, list(map(len, reference.rows)), list(map(len, prediction.rows)))

    found: list[Discrepancy] = []
    for i, j in pairs:
        if 0 < total[i, j] < MAX_SEVERITY:
            found += _differing(ours[i], theirs[j], int(text[i, j]), int(total[i, j]))
    settled = [(i, j) for i, j in pairs if total[i, j] < MAX_SEVERITY]
    missing = sorted(set(range(len(ours))) - {i for i, _ in settled})
    surplus = sorted(set(range(len(theirs))) - {j for _, j in settled})

    for i, j in _same(text, missing, surplus):
        what = f"{ours[i].place}: reference {shown(ours[i].text)} has moved to {theirs[j].place} in the prediction"
        found.append(Discrepancy("layout_error", MAX_SEVERITY, what, ours[i].place))
    spot = {(theirs[j].row, theirs[j].column): j for j in surplus}
    here = [(i, spot.get((ours[i].row, ours[i].column), -1)) for i in missing]
    for i, j in [pair for pair in pairs if total[pair] == MAX_SEVERITY] + here:
        if i in missing and j in surplus:
            found += _differing(
                ours[i], theirs[j], int(text[i, j]) if total[i, j] == MAX_SEVERITY else MAX_SEVERITY, MAX_SEVERITY
            )
            missing.remove(i)
            surplus.remove(j)
    for lost, extra in zip_longest(missing, surplus):
        found.append(_left_over(ours[lost] if lost is not None else None, theirs[extra] if extra is not None else None))
    return tuple(found)


def _layout_severity(ours: list[Cell], theirs: list[Cell]) -> np.ndarray:
    """1 where a merged cell of the reference is merged less in the prediction, or a ruled one unruled; else 0: (n, m).

    A cell merged too far pays for the cells that it swallows. Not counting it here as well keeps the theorem exact: leaving
    parts out can only shrink a span.
    """

    def column(cells: list[Cell], key: str) -> np.ndarray:
        return np.array([getattr(cell, key) for cell in cells], dtype=int)

    worse = [column(theirs, key)[None, :] < column(ours, key)[:, None] for key in ("rows", "columns", "ruled")]
    return np.logical_or.reduce(worse).astype(int)


def _aligned(gain: np.ndarray, ours: Sequence[int], theirs: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of cells with the largest sum of gains that keep rows in order and, inside paired rows, cells in order.

    `gain`: (n, m). `ours`, `theirs`: how many cells each row has. Where it makes no difference to the sum, rows and cells
    are rather paired than left over.
    """
    from_ours, from_theirs = np.cumsum([0, *ours]), np.cumsum([0, *theirs])
    rows = _row_gains(gain, from_ours, from_theirs)
    pairs = []
    for a, b in _chain(rows):
        block = gain[from_ours[a] : from_ours[a + 1], from_theirs[b] : from_theirs[b + 1]]
        pairs += [(int(from_ours[a] + i), int(from_theirs[b] + j)) for i, j in _chain(block)]
    return pairs


def _row_gains(gain: np.ndarray, from_ours: np.ndarray, from_theirs: np.ndarray) -> np.ndarray:
    """Largest sum of gains of every row with every row: (rows, rows).

    All rows of the prediction lie side by side in one line, each behind a slot of its own. Rising bases keep the running
    maximum of one row out of the next.
    """
    count = len(from_theirs) - 1
    lengths = np.diff(from_theirs)
    slots = from_theirs[:-1] + np.arange(count)
    places = np.delete(np.arange(from_theirs[-1] + count), slots)
    bases = np.repeat(np.arange(count) * (MAX_SEVERITY * (gain.shape[0] + 1)), lengths + 1)
    result = np.zeros((len(from_ours) - 1, count), dtype=int)
    for row in range(len(from_ours) - 1):
        best = bases.copy()
        for cell in range(from_ours[row], from_ours[row + 1]):
            step = best.copy()
            step[places] = np.maximum(best[places], best[places - 1] + gain[cell])
            best = np.maximum.accumulate(step)
        result[row] = (best - bases)[slots + lengths]
    return result


def _chain(gain: np.ndarray) -> list[tuple[int, int]]:
    """The order-keeping pairs with the largest sum of gains; ties go to pairing."""
    n, m = gain.shape
    best = np.zeros((n + 1, m + 1), dtype=int)
    for i in range(n):
        step = np.maximum(best[i, 1:], best[i, :-1] + gain[i])
        best[i + 1, 1:] = np.maximum.accumulate(step)
    pairs = []
    i, j = n, m
    while i and j:
        if best[i, j] == best[i - 1, j - 1] + gain[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


def _same(severity: np.ndarray, missing: list[int], surplus: list[int]) -> Iterable[tuple[int, int]]:
    """Takes pairs that are the same out of both lists, in order."""
    for i in list(missing):
        match = next((j for j in surplus if severity[i, j] == 0), None)
        if match is not None:
            missing.remove(i)
            surplus.remove(match)
            yield i, match


def _differing(ours: Cell, theirs: Cell, text: int, total: int) -> Iterable[Discrepancy]:
    """A pair of cells in corresponding places: what its texts and its layout add to the total."""
    if text:
        what = f"{ours.place}: reference {shown(ours.text)}, prediction {shown(theirs.text)}"
        yield Discrepancy(_category(ours.text or theirs.text, theirs.text or ours.text), text, what, ours.place)
    if total > text:
        span = "{0.rows} row(s) and {0.columns} column(s)"
        if theirs.ruled:
            what = f"spans {span.format(ours)} in the reference, {span.format(theirs)} in the prediction"
        else:
            what = "stands in no ruled cell in the prediction"
        what = f"{ours.place}: {shown(ours.text)} {what}"
        yield Discrepancy("layout_error", total - text, what, ours.place)


def _left_over(lost: Cell | None, extra: Cell | None) -> Discrepancy:
    parts = []
    if lost:
        parts.append(f"{lost.place}: reference {shown(lost.text)} is missing")
    if extra:
        parts.append(f"{extra.place} of the prediction: {shown(extra.text)} is not in the reference")
    place = (lost or extra or Cell("", 0, 0)).place
    return Discrepancy("layout_error", MAX_SEVERITY, "; ".join(parts), place)


# --- words -----------------------------------------------------------------------------------------------------------


def _words(reading: Reading) -> list[Word]:
    """Numbers and words in reading order, without punctuation."""
    words = []
    for cell in reading.cells:
        text = CHUNK.sub(lambda chunk: _mended(chunk[0]), plain(cell.text))
        words += [Word(found[0], tight(found[0]).casefold(), cell.place) for found in _WORD.finditer(text)]
    return words[:MAX_WORDS]


def _mended(chunk: str) -> str:
    """Letters that OCR of small print sees in digits, turned back where at least half of a chunk is digits."""
    digits = sum(character.isdigit() for character in chunk)
    letters = sum(character.isalpha() for character in chunk)
    return chunk.translate(_SMALL_PRINT) if digits and digits >= letters else chunk


def _compare_words(ours: list[Word], theirs: list[Word]) -> tuple[Discrepancy, ...]:
    severity = text_severity([word.key for word in ours], [word.key for word in theirs])
    bare = [[word.key.replace(".", "").replace(",", "") for word in words] for words in (ours, theirs)]
    severity = np.where(equal(*bare), np.minimum(severity, 1), severity)  # a lost decimal point: specks in scans
    apart = np.abs(np.arange(len(ours))[:, None] / max(len(ours), 1) - np.arange(len(theirs)) / max(len(theirs), 1))
    rows, columns = linear_sum_assignment(severity - MAX_SEVERITY + apart * (0.5 / max(len(ours), len(theirs), 1)))
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if severity[i, j] < MAX_SEVERITY]

    found = []
    for i, j in pairs:
        if severity[i, j]:
            found.append(_misread(ours[i], theirs[j], int(severity[i, j])))
    missing = sorted(set(range(len(ours))) - {i for i, _ in pairs})
    surplus = sorted(set(range(len(theirs))) - {j for _, j in pairs})
    for lost, extra in zip_longest(missing, surplus):
        if lost is None:
            what = f"{theirs[extra].place} of the prediction: {shown(theirs[extra].shown)} is not in the reference"
            found.append(Discrepancy("layout_error", MAX_SEVERITY, what, theirs[extra].place))
        elif extra is None:
            what = f"{ours[lost].place}: reference {shown(ours[lost].shown)} is missing"
            found.append(Discrepancy("layout_error", MAX_SEVERITY, what, ours[lost].place))
        else:
            found.append(_misread(ours[lost], theirs[extra], MAX_SEVERITY))
    return tuple(found)


def _misread(ours: Word, theirs: Word, severity: int) -> Discrepancy:
    what = f"{ours.place}: reference {shown(ours.shown)}, prediction {shown(theirs.shown)} ({theirs.place})"
    return Discrepancy(_category(ours.shown, theirs.shown), severity, what, ours.place)


def _category(ours: str, theirs: str) -> str:
    return "numeric_error" if is_numeric(ours, theirs) else "text_error"
