"""Two readings of tables -> discrepancies, so that leaving out never costs less than getting wrong.

Every part of a table (a cell of a bordered one, a word of a borderless one) has the same mass w = 3. Pairing part p of the
prediction with part r of the reference gains g(p, r) = w - sub(p, r), where sub in 0..3 says how badly they differ. With n
and m parts in reference and prediction,

    S = w * max(n, m) - (largest sum of gains over all pairings that are allowed).

Cells are paired in order: rows with rows and, inside a pair of rows, cells with cells. Words are paired freely. Words that
both tables have and that have moved cost 1 each, beyond a share of MOVED_SLACK: there are (words that both have) - (longest
sequence of words that both have in this order) of them.

Theorem: removing any parts from a prediction that has no more parts than the reference (m <= n) never lowers S. The first
term stays w * n; the pairings that remain allowed are among those allowed before, with the same gains; and because gains
are never negative, none of them sums to more than the former maximum. So a policy that drops what it cannot read earns
nothing by it. A part too many (m > n) costs w, as does a part missing: one surplus part makes up for one missing part.
Moved words keep it so: without a word that both tables have, one word less has moved at most, and the sum of gains is
smaller by 1 at least, because no other pair gains as much as two equal words.

The discrepancies returned sum to exactly S: sub for every pair that differs, w for each part left over on the longer side,
1 for each word that has moved beyond the slack.

    compare(read_table(reference, ocr), read_table(prediction, ocr))
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from rapidfuzz.distance import LCSseq
from scipy.optimize import linear_sum_assignment

from visual_erm.judge.local.text import CHUNK, equal, is_numeric, normalize, plain, quote, text_severity
from visual_erm.reward.report import MAX_SEVERITY, Discrepancy
from visual_erm.vision.table_cells import Cell, Reading

MAX_WORDS = 2000
"""Words compared per image, in reading order; the rest is ignored. Pairing them freely takes time in their cube."""
MOVED_SLACK = 1 / 3
"""Share of the reference's words that may have moved. Cells that wrap elsewhere move up to 30% of the words of PubTabNet's
scans; a table whose cells are shuffled moves 60 to 70%."""

_WORD = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+|[^\W_]+")
_SPACED = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d.,])")
"""A number with blanks between its thousands."""
_THOUSANDS = re.compile(r"\d{1,3}(?=(?:\d{3})*$)")
_SMALL_PRINT = str.maketrans("OoSIlB", "005118")


@dataclass(frozen=True)
class Word:
    """A part of a borderless table."""

    text: str
    key: str
    """What is compared: what OCR of small print commonly confuses is the same here."""
    place: str


def compare(reference: Reading, prediction: Reading) -> tuple[Discrepancy, ...]:
    """Compares two tables.

    With a bordered reference cells are compared, and a borderless prediction pays for that in every cell. Without one
    there are no sure cells: words are compared, wherever lines wrap, and case, punctuation and signs do not count. OCR
    loses a blank between thousands in one image and reads it in the other. So where a number has such blanks, all numbers
    are compared by thousands as well, and the smaller S counts. The theorem holds for either, and so for the smaller one.

    Args:
        reference: What the reference says.
        prediction: What the prediction says.

    Returns:
        What differs, in the categories of the kind's `local_comparison`; the severities sum to S.
    """
    if reference.bordered:
        return _compare_cells(reference, prediction)
    words = _words(reference), _words(prediction)
    found = _compare_words(*words)
    if found and any(_SPACED.search(cell.text) for cell in (*reference.cells, *prediction.cells)):
        by_thousands = _compare_words(*map(_by_thousands, words))
        return min(found, by_thousands, key=lambda found: sum(one.severity for one in found))
    return found


# --- cells -----------------------------------------------------------------------------------------------------------


def _compare_cells(reference: Reading, prediction: Reading) -> tuple[Discrepancy, ...]:
    reference_cells, prediction_cells = reference.cells, prediction.cells
    text = text_severity([cell.text for cell in reference_cells], [cell.text for cell in prediction_cells])
    total = np.minimum(text + _layout_severity(reference_cells, prediction_cells), MAX_SEVERITY)
    pairs = _align_rows(MAX_SEVERITY - total, list(map(len, reference.rows)), list(map(len, prediction.rows)))

    found: list[Discrepancy] = []
    for i, j in pairs:
        if 0 < total[i, j] < MAX_SEVERITY:
            found += _differing(reference_cells[i], prediction_cells[j], int(text[i, j]), int(total[i, j]))
    settled = [(i, j) for i, j in pairs if total[i, j] < MAX_SEVERITY]
    missing = sorted(set(range(len(reference_cells))) - {i for i, _ in settled})
    surplus = sorted(set(range(len(prediction_cells))) - {j for _, j in settled})

    for i, j in _same(text, missing, surplus):
        place = reference_cells[i].place
        moved = f"has moved to {prediction_cells[j].place} in the prediction"
        what = f"{place}: reference {quote(reference_cells[i].text)} {moved}"
        found.append(Discrepancy("layout_error", MAX_SEVERITY, what, place))
    spot = {(prediction_cells[j].row, prediction_cells[j].column): j for j in surplus}
    here = [(i, spot.get((reference_cells[i].row, reference_cells[i].column), -1)) for i in missing]
    for i, j in [pair for pair in pairs if total[pair] == MAX_SEVERITY] + here:
        if i in missing and j in surplus:
            found += _differing(
                reference_cells[i],
                prediction_cells[j],
                int(text[i, j]) if total[i, j] == MAX_SEVERITY else MAX_SEVERITY,
                MAX_SEVERITY,
            )
            missing.remove(i)
            surplus.remove(j)
    for lost, extra in zip_longest(missing, surplus):
        found.append(
            _left_over(
                reference_cells[lost] if lost is not None else None, prediction_cells[extra] if extra is not None else None
            )
        )
    return tuple(found)


def _layout_severity(reference: list[Cell], prediction: list[Cell]) -> np.ndarray:
    """1 where a merged cell of the reference is merged less in the prediction, or one loses its border; else 0: (n, m).

    A cell merged too far pays for the cells that it swallows. Not counting it here as well keeps the theorem exact: leaving
    parts out can only shrink a span.
    """

    def column(cells: list[Cell], key: str) -> np.ndarray:
        return np.array([getattr(cell, key) for cell in cells], dtype=int)

    worse = [column(prediction, key)[None, :] < column(reference, key)[:, None] for key in ("rows", "columns", "bordered")]
    return np.logical_or.reduce(worse).astype(int)


def _align_rows(gain: np.ndarray, reference: Sequence[int], prediction: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of cells with the largest sum of gains that keep rows in order and, inside paired rows, cells in order.

    `gain` has shape (n, m); `reference` and `prediction` say how many cells each row has. Where it makes no difference to
    the sum, rows and cells are rather paired than left over.
    """
    reference_starts, prediction_starts = np.cumsum([0, *reference]), np.cumsum([0, *prediction])
    rows = _row_gains(gain, reference_starts, prediction_starts)
    pairs = []
    for a, b in _align(rows):
        block = gain[reference_starts[a] : reference_starts[a + 1], prediction_starts[b] : prediction_starts[b + 1]]
        pairs += [(int(reference_starts[a] + i), int(prediction_starts[b] + j)) for i, j in _align(block)]
    return pairs


def _row_gains(gain: np.ndarray, reference_starts: np.ndarray, prediction_starts: np.ndarray) -> np.ndarray:
    """Largest sum of gains of every row with every row: (rows, rows).

    All rows of the prediction lie side by side in one line, each behind a slot of its own. Rising bases keep the running
    maximum of one row out of the next.
    """
    count = len(prediction_starts) - 1
    lengths = np.diff(prediction_starts)
    slots = prediction_starts[:-1] + np.arange(count)
    places = np.delete(np.arange(prediction_starts[-1] + count), slots)
    bases = np.repeat(np.arange(count) * (MAX_SEVERITY * (gain.shape[0] + 1)), lengths + 1)
    result = np.zeros((len(reference_starts) - 1, count), dtype=int)
    for row in range(len(reference_starts) - 1):
        best = bases.copy()
        for cell in range(reference_starts[row], reference_starts[row + 1]):
            step = best.copy()
            step[places] = np.maximum(best[places], best[places - 1] + gain[cell])
            best = np.maximum.accumulate(step)
        result[row] = (best - bases)[slots + lengths]
    return result


def _align(gain: np.ndarray) -> list[tuple[int, int]]:
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


def _differing(reference: Cell, prediction: Cell, text: int, total: int) -> Iterable[Discrepancy]:
    """A pair of cells in corresponding places: what its texts and its layout add to the total."""
    if text:
        what = f"{reference.place}: reference {quote(reference.text)}, prediction {quote(prediction.text)}"
        yield Discrepancy(
            _category(reference.text or prediction.text, prediction.text or reference.text), text, what, reference.place
        )
    if total > text:
        span = "{0.rows} row(s) and {0.columns} column(s)"
        if prediction.bordered:
            what = f"spans {span.format(reference)} in the reference, {span.format(prediction)} in the prediction"
        else:
            what = "stands in no ruled cell in the prediction"
        what = f"{reference.place}: {quote(reference.text)} {what}"
        yield Discrepancy("layout_error", total - text, what, reference.place)


def _left_over(lost: Cell | None, extra: Cell | None) -> Discrepancy:
    parts = []
    if lost:
        parts.append(f"{lost.place}: reference {quote(lost.text)} is missing")
    if extra:
        parts.append(f"{extra.place} of the prediction: {quote(extra.text)} is not in the reference")
    place = (lost or extra or Cell("", 0, 0)).place
    return Discrepancy("layout_error", MAX_SEVERITY, "; ".join(parts), place)


# --- words -----------------------------------------------------------------------------------------------------------


def _words(reading: Reading) -> list[Word]:
    """Numbers and words in reading order, without punctuation."""
    words = []
    for cell in reading.cells:
        text = CHUNK.sub(lambda chunk: _mended(chunk[0]), plain(cell.text))
        words += [Word(found[0], normalize(found[0]).casefold(), cell.place) for found in _WORD.finditer(text)]
    return words[:MAX_WORDS]


def _by_thousands(words: list[Word]) -> list[Word]:
    """The words, with each number of digits alone as its groups of thousands."""
    parts = [
        replace(word, text=part, key=part) if part != word.key else word
        for word in words
        for part in (_THOUSANDS.findall(word.key) if word.key.isdecimal() and word.key.isascii() else [word.key])
    ]
    return parts[:MAX_WORDS]


def _mended(chunk: str) -> str:
    """Letters that OCR of small print sees in digits, turned back where at least half of a chunk is digits."""
    digits = sum(character.isdigit() for character in chunk)
    letters = sum(character.isalpha() for character in chunk)
    return chunk.translate(_SMALL_PRINT) if digits and digits >= letters else chunk


def _compare_words(reference: list[Word], prediction: list[Word]) -> tuple[Discrepancy, ...]:
    severity = text_severity([word.key for word in reference], [word.key for word in prediction])
    bare = [[word.key.replace(".", "").replace(",", "") for word in words] for words in (reference, prediction)]
    severity = np.where(equal(*bare), np.minimum(severity, 1), severity)  # a lost decimal point: specks in scans
    apart = np.abs(
        np.arange(len(reference))[:, None] / max(len(reference), 1) - np.arange(len(prediction)) / max(len(prediction), 1)
    )
    rows, columns = linear_sum_assignment(severity - MAX_SEVERITY + apart * (0.5 / max(len(reference), len(prediction), 1)))
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if severity[i, j] < MAX_SEVERITY]

    found = []
    for i, j in pairs:
        if severity[i, j]:
            found.append(_misread(reference[i], prediction[j], int(severity[i, j])))
    missing = sorted(set(range(len(reference))) - {i for i, _ in pairs})
    surplus = sorted(set(range(len(prediction))) - {j for _, j in pairs})
    for lost, extra in zip_longest(missing, surplus):
        if lost is None:
            what = f"{prediction[extra].place} of the prediction: {quote(prediction[extra].text)} is not in the reference"
            found.append(Discrepancy("layout_error", MAX_SEVERITY, what, prediction[extra].place))
        elif extra is None:
            what = f"{reference[lost].place}: reference {quote(reference[lost].text)} is missing"
            found.append(Discrepancy("layout_error", MAX_SEVERITY, what, reference[lost].place))
        else:
            found.append(_misread(reference[lost], prediction[extra], MAX_SEVERITY))
    return tuple(found + _moved(reference, prediction))


def _moved(reference: list[Word], prediction: list[Word]) -> list[Discrepancy]:
    """One for each word that both tables have, and not in the same order, beyond MOVED_SLACK."""
    keys = [[word.key for word in words] for words in (reference, prediction)]
    there = Counter(keys[0]) & Counter(keys[1])
    in_order: set[int] = set()
    for block in LCSseq.opcodes(*keys):
        if block.tag == "equal":
            in_order |= set(range(block.src_start, block.src_end))
    there.subtract(reference[place].key for place in in_order)
    found = []
    for place, word in enumerate(reference):
        if place not in in_order and there[word.key] > 0:
            there[word.key] -= 1
            what = f"{word.place}: {quote(word.text)} of the reference stands elsewhere in the prediction"
            found.append(Discrepancy("layout_error", 1, what, word.place))
    return found[int(MOVED_SLACK * len(reference)) :]


def _misread(reference: Word, prediction: Word, severity: int) -> Discrepancy:
    what = f"{reference.place}: reference {quote(reference.text)}, prediction {quote(prediction.text)} ({prediction.place})"
    return Discrepancy(_category(reference.text, prediction.text), severity, what, reference.place)


def _category(reference: str, prediction: str) -> str:
    return "numeric_error" if is_numeric(reference, prediction) else "text_error"
