"""Offline matcher: which reported errors are which true errors, decided from their words, without a model or a network.

It stands in for the model that pairs predicted with true errors. It is a rough reader, and a large model matches better.
Scores from different matchers must not be compared.

What counts:

- Each error becomes a set of features: its numbers, its places (row 3, second column, upper left), and the stems of the
  other words of its description and location.
- Words for one thing are one feature: legend and key. Words of any report do not count: the original, the second image.
- Numbers and words in quotation marks weigh most. Places, and what happened to a part (missing, moved), weigh least.
  A feature that several errors of one list have weighs less.
- The similarity of two errors is the weight of their common features, as a share of the weight of their features. The error
  with less features counts more in it, because people are terse and judges are not.
- Another category lowers the similarity. So do places that exclude each other, such as row 3 and row 4, or left and right.
- Errors are assigned one to one so that the sum of similarities is as large as possible. Less similar pairs than MATCHED do
  not count.
- A match is `partial` if each of the two errors has a number that the other one lacks. Otherwise it is `yes`.

Both errors must be in one language. The lists of words are English. Chinese and Japanese are compared by characters.

    >>> truth = LabeledError("numeric_error", 2, "12.5 read as 12.6 (row 3)")
    >>> report = LabeledError("numeric_error", 2, "The value in the third row should be 12.5, not 12.6.")
    >>> match_offline([report], [truth])
    (Match(prediction=0, truth=0, level='yes'),)
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix

from visual_erm.bench.matching import LabeledError, Match
from visual_erm.judge.local.text import equal, plain

MATCHED = 0.3
"""Similarity from which two errors are the same error. Raise it for fewer and surer matches."""
READ = 500
"""Number of characters that are read of a description, and of a location. Tasks cut those of a report at 400 by default."""

_TERSE = 0.7
"""Share of the error with less features in what the weight of the common features is divided by."""
_DOUBT = 0.3
"""Weight that is added there, so that one common word of two short errors does not suffice."""
_OTHER_CATEGORY = 0.8
"""Factor for different categories. People and judges often differ in them."""
_OTHER_PLACE = 0.4
"""Factor for places that exclude each other: for each of rows, columns, left or right, and top or bottom."""
_EXACT, _WORD, _VAGUE, _SIGN = 1.5, 1.0, 0.5, 0.4
"""Weights of features. Exact: numbers and quoted words. Vague: places, and what happened to a part. Sign: one Chinese
character, or two that follow each other."""
_LATER = 1e-9
"""Similarity that an error loses for each equal one before it, so that the first one is matched."""

_IGNORED = """
a an the this that these those it its they them their there here and or but nor while whereas though although however as
at by for from in into of off on onto out over under to with within than then so if which who whose what where when is
are was were be been being has have had do does did will would can could may might must should shall very too also only
just still even original reference image picture drawing prediction reconstruction reconstructed transcription
transcribed copy version figure instead rather place shown show showing display appear see seen visible look read
reading give given say become became turn present exist use used change differ different difference other another way
expected found contain hold list originally about roughly around near approximately both each all whole some any one
ones entire same error wrong incorrect incorrectly mistake value part call label labelled
"""
"""Words that say nothing of the error: function words of English, and the prose of any report."""

_CHANGES = """
missing: absent lack lost gone omit omission drop remove not no without none never neither lose cut
extra: additional added add duplicate twice superfluous
moved: shift displaced position locate location place placement stand
swapped: interchange exchange mixed reversed reverse order sorted mirror flip transpose invert orientation
merged: merge colspan rowspan span join split separate divided
size: large larger largest big bigger small smaller smallest long longer short shorter scaled
width: wide wider broad broader narrow narrower
height: high higher tall taller low flat up down upward downward above below
thickness: thick thicker thin thinner weight bold heavy
amount: few fewer less more many
spelling: misspell misspelled misspelt typo spell spelt
"""
"""What happened to a part: the name of the feature, and the words for it."""

_SAME = """
legend: key
title: heading caption header headline head
axis: axes scale
bar: column
slice: wedge sector
line: curve series stroke
point: dot
panel: subplot
grid: gridline
palette: colormap colorbar colour color
word: letter character
mean: average
number: digit numeral
percent: percentage %
minus: negative
plus: positive
unit: currency
outline: edge border contour
fill: interior inside
circle: round ring disc
square: rectangle box
ellipse: oval
empty: blank
bend: bent curved arc arch
grey: gray silver
blue: cyan navy azure turquoise teal
purple: violet magenta
orange: amber
yellow: gold golden
brown: beige
light: pale
background: ground backdrop canvas
rotate: rotation tilt slanted angle
opaque: opacity transparent transparency
dash: dotted
font: typeface
area: region
centre: center central middle
"""
"""Words for one thing: the name of the feature, and other words for it."""

_SIDES = {
    "left": "left", "leftmost": "left", "right": "right", "rightmost": "right",
    "top": "top", "upper": "top", "bottom": "bottom", "lower": "bottom",
}  # fmt: skip
_EXCLUSIVE = [re.compile(kind) for kind in ("row ", "column ", "(left|right)$", "(top|bottom)$")]
"""Kinds of features of which two different ones are different places."""
_ORDINALS = {
    "first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6", "last": "last", "final": "last",
}  # fmt: skip
_NUMERALS = _ORDINALS | {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip
_IGNORED_SIGNS = frozenset("的为图原生成重建中了在应")
_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(rf"(?<![^\W_])[-+]?\d+(?:[.,]\d+)*(?![^\W_])|[{_ASIAN}]+|(?:(?![{_ASIAN}])[^\W_])+|[%@°$€£*]")
_QUOTED = re.compile(r"\"([^\"]{1,120})\"|(?<!\w)'([^']{1,120})'(?!\w)")
_PROSE = re.compile(r"\b(?:first|second|other) (?:image|drawing|picture|table|chart|one|version|figure)\b|#[0-9a-f]{6}\b")
"""Which image a sentence is about, and colors as the local judge adds them to their names."""
_LINES = re.compile(
    r"\b(row|column)s? (\d+)(?:(?:,| and| to| or|-) ?(\d+))?\b"
    rf"|\b({'|'.join(_ORDINALS)}|\d+)(?:st|nd|rd|th)? (row|column)\b"
)
"""Rows and columns by number."""


def match_offline(predictions: Sequence[LabeledError], truths: Sequence[LabeledError]) -> tuple[Match, ...]:
    """Matches reported with true errors, one to one, from their words.

    The order of the lists does not change which errors are matched. Of errors with the same category and texts, the first
    ones are matched.

    Args:
        predictions: Errors that a judge reported. Only the first READ characters of each text are read.
        truths: Errors that a person found.

    Returns:
        The matches, by place of the prediction.
    """
    if not predictions or not truths:
        return ()
    rows, columns = _by_content(predictions), _by_content(truths)
    reported, found = [predictions[i] for i in rows], [truths[j] for j in columns]
    alike, other_number = _compare(reported, found)
    gain = np.where(alike >= MATCHED, alike - _LATER * np.add.outer(_repeats(reported), _repeats(found)), 0)
    matches = [
        Match(rows[i], columns[j], "partial" if other_number[i, j] else "yes")
        for i, j in zip(*linear_sum_assignment(gain, maximize=True), strict=True)
        if gain[i, j] > 0
    ]
    return tuple(sorted(matches, key=lambda match: match.prediction))


def _content(error: LabeledError) -> tuple[str, str, str]:
    return error.category, error.description, error.location


def _by_content(errors: Sequence[LabeledError]) -> list[int]:
    """Places of errors in an order that depends only on what they say; equal ones as they stand."""
    return sorted(range(len(errors)), key=lambda i: _content(errors[i]))


def _repeats(errors: Sequence[LabeledError]) -> list[int]:
    """The number of equal errors before each one."""
    seen: Counter[tuple[str, str, str]] = Counter()
    before = []
    for content in map(_content, errors):
        before.append(seen[content])
        seen[content] += 1
    return before


def _compare(predictions: Sequence[LabeledError], truths: Sequence[LabeledError]) -> tuple[np.ndarray, np.ndarray]:
    """Compares each of n errors with each of m errors.

    Returns:
        Similarities from 0 to 1, where 1 stands for the same category and texts, and whether each of the two errors has a
        number that the other one lacks; both of shape (n, m).
    """
    sides = [[_features(error) for error in errors] for errors in (predictions, truths)]
    heaviest: dict[str, float] = {}
    for name, weight in (item for features in itertools.chain(*sides) for item in features.items()):
        heaviest[name] = max(weight, heaviest.get(name, 0))
    names = sorted(heaviest)
    here, there = (_incidence(side, names) for side in sides)
    times = np.maximum(here.sum(axis=0), there.sum(axis=0)).A1
    weights = np.array([heaviest[name] for name in names]) / np.sqrt(times)

    common = (here.multiply(weights).tocsr() @ there.T).toarray()
    totals = (here @ weights)[:, None], (there @ weights)[None, :]
    alike = common / (_TERSE * np.minimum(*totals) + (1 - _TERSE) * np.maximum(*totals) + _DOUBT)
    for kind in _EXCLUSIVE:
        shared, own, other = _counts(here, there, [kind.match(name) is not None for name in names])
        alike[(own > 0) & (other > 0) & (shared == 0)] *= _OTHER_PLACE
    alike[~equal([error.category for error in predictions], [error.category for error in truths])] *= _OTHER_CATEGORY
    alike[equal([_content(error) for error in predictions], [_content(error) for error in truths])] = 1

    shared, own, other = _counts(here, there, [name.startswith("#") for name in names])
    return alike, (own > shared) & (other > shared)


def _incidence(side: list[dict[str, float]], names: list[str]) -> csr_matrix:
    """Which error has which feature, (errors, features)."""
    places = {name: k for k, name in enumerate(names)}
    columns = [places[name] for features in side for name in features]
    starts = np.cumsum([0, *map(len, side)])
    return csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(side), len(names)))


def _counts(here: csr_matrix, there: csr_matrix, chosen: list[bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many of the chosen features both errors of a pair have, (n, m), and each of them, (n, 1) and (1, m)."""
    kept = np.flatnonzero(chosen)
    here, there = here[:, kept], there[:, kept]
    return (here @ there.T).toarray(), np.asarray(here.sum(axis=1)), np.asarray(there.sum(axis=1)).T


def _features(error: LabeledError) -> dict[str, float]:
    """What is compared of an error: name of each feature -> its weight."""
    read = (plain(text[:READ])[:READ] for text in (error.description, error.location))
    text = " ; ".join(read).casefold()
    text = _PROSE.sub(" ", text).replace("lower than", "low")  # no place
    features: dict[str, float] = {}
    for found in _QUOTED.finditer(text):
        words = _TOKEN.findall(found[1] or found[2])
        features |= {name: _EXACT for word in {*words, "".join(words)} - {""} for name, _ in _named(word, quoted=True)}
    for found in _LINES.finditer(text):
        numbers = filter(None, (found[2], found[3], _ORDINALS.get(found[4], found[4])))
        features |= {f"{found[1] or found[5]} {number}": _VAGUE for number in numbers}
    for word in _TOKEN.findall(_LINES.sub(r" \1 \5 ", text)):
        for name, weight in _named(word):
            features.setdefault(name, weight)
    return features


def _named(word: str, quoted: bool = False) -> Iterator[tuple[str, float]]:
    """The features of a word, with their weights."""
    stem = _stem(word)
    if word[-1:].isdecimal() and not any(map(str.isalpha, word)):
        yield _number(word), _EXACT
    elif re.match(f"[{_ASIAN}]", word):
        signs = (*word, *(first + second for first, second in itertools.pairwise(word)))
        yield from ((sign, _SIGN) for sign in signs if not _IGNORED_SIGNS.intersection(sign))
    elif quoted:
        yield stem, _EXACT
    elif word in _NUMERALS:
        yield f"#{_NUMERALS[word]}", _VAGUE
    elif word in _SIDES:
        yield _SIDES[word], _VAGUE
    elif stem in _CHANGE_OF:
        yield f"~{_CHANGE_OF[stem]}", _VAGUE
    elif stem not in _IGNORED_STEMS:
        yield _THING_OF.get(stem, stem), _WORD


def _number(digits: str) -> str:
    """One name for all ways to write a number: `#1250` for 1,250 and 1250.0 and +1250."""
    digits = re.sub(r",(?=\d{3}(?:\D|$))", "", digits).replace(",", ".").lstrip("+")
    return f"#{digits.rstrip('0').rstrip('.') if digits.count('.') == 1 else digits}"


def _stem(word: str) -> str:
    """A word without its ending, so that most forms of one word are equal: `label`, `labels` and `labelled`."""
    for ending in ("ies", "ing", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)] + ("y" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] in "ey" else word


def _groups(lines: str) -> dict[str, str]:
    """Stem of each word -> name of its group."""
    groups: dict[str, str] = {}
    for line in lines.strip().splitlines():
        name, words = line.split(":")
        for word in (name, *words.split()):
            groups.setdefault(_stem(word), name)
    return groups


_CHANGE_OF, _THING_OF = _groups(_CHANGES), _groups(_SAME)
_IGNORED_STEMS = {_stem(word) for word in _IGNORED.split()}
