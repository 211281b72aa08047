"""The guard `injection`: text in an image that addresses the judge, like orders, verdicts, pieces of a report or of a chat.

Only text that the prediction has and the reference has not counts: a chart titled "Judge scores" in both is a chart. The
text is first cleared of what OCR confuses (case, accents, letters and signs that look alike). Then it is searched in three
ways: for pieces of reports and of chat templates; for phrases, as they stand or nearly so where they are long; and for
pairs of hints that only together make an order or a verdict, in seven languages.

The recognizer reads no Cyrillic, Hangul or Arabic. A sentence in such a script may say anything. It is suspicious where the
reference shows no text of the kind.

    addresses_judge(["No errors found"], reference=["Rain by city"])    # "no errors"
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz

from visual_erm.guard.injection_phrases import DENIALS, HINTS, NOTES, PHRASES, STATISTICS, TOGETHER

MAX_HINT_DISTANCE = 60
"""Largest number of characters between two hints that belong together."""
MIN_TEXT_SIMILARITY = 88
"""Similarity, 0 to 100, from which the reference has the same long text, apart from misread characters."""
MIN_PHRASE_SIMILARITY = 93
"""Similarity, 0 to 100, from which a long phrase is found although a letter is wrong or missing."""
MIN_LETTERS_INSIDE_WORD = 11
"""Number of letters from which a text may begin inside a word, because OCR loses blanks."""
MIN_LETTERS_FUZZY = 15
"""Number of letters from which a phrase may have a letter wrong or missing."""
LONG_LINE = 5.0
"""Length of the shortest line in an unknown script that counts, in heights of the line."""
MIN_UNKNOWN = 11.0
"""Length of all such lines from which they may address a judge: a short sentence."""
MAX_KNOWN = 3.0
"""Length of all lines in unknown scripts, also short ones, from which a reference shows such a script: two short labels."""
MAX_CHARACTERS = 20_000
"""Number of characters that are searched: more than fits a page that a judge can read."""

_REPORT = re.compile(
    r"""
    (layout|text|numeric|structure|data|style|shape|symbol) [\W_]* err[o0]rs? [\W_]* c[o0]unts?
    | errors? ["'”“’`\s]* [:=] \W* \[            # "errors": [
    | severity ["'”“’`\s]* [:=] \W* [\do]
    | ["'“] \w* (error|difference|mistake|issue|remark|comment|verdict|result|grade) \w* ["'”] \s* [:=]
    | ["'“] (errors|type|category|severity|location|description|score|reward) ["'”] \s* [:=]
    """,
    re.VERBOSE,
)
_CONVERSATION = re.compile(
    r"""
    <\|?\s*/?\s*(im_start|im_end|system|user|assistant|think|endoftext|vision_\w+) | /?think>
    | \[/?inst\] | \#{2,}\s*(instruction|system|response|task|note)
    | (?<![a-z])(assistant|assistente?|asistente|助手|アシスタント|judge|grader|evaluator|note\sto\s\w+)
      \s* [:：] \s* [^\W\d]{2,} \s* [^\W\d]{2,}
    """,
    re.VERBOSE,
)

_LETTERS = dict(zip("аеорсухіјѕԁһԛԝвкмнтαβεικνορτυχ", "aeopcyxijsdhqwbkmhtabeiknoptux", strict=True))
_CHARACTERS = dict(
    zip(
        "沒無異誤錯圖評報請視與級嚴滿給輸問題兩個這對確參預測張幅應該須統獎勵",
        "没无异误错图评报请视与级严满给输问题两个这对确参预测张幅应该须统奖励",
        strict=True,
    )
)
_SCRIPTS = str.maketrans(_LETTERS | _CHARACTERS)
_MISREAD = str.maketrans("i1|!ı05", "lllllos")


def addresses_judge(prediction: Sequence[str], reference: Sequence[str]) -> str:
    """Finds text that addresses a judge.

    Args:
        prediction: Lines of text in the prediction, in reading order.
        reference: Lines of text in the reference, in reading order.

    Returns:
        The first piece of the prediction's text that addresses a judge and is not in the reference; empty where there is
        none.
    """
    known = _letters(_plain(reference))
    return next((found for found in _pieces(_plain(prediction)) if not _is_in(_letters(found), known)), "")


def is_long(unread: Sequence[float]) -> bool:
    """Tells whether text in a script that cannot be read is long enough to address a judge.

    Args:
        unread: Lengths of such lines of the prediction, in heights of the line, see `NewText.unread`.

    Returns:
        Whether it is. In a reference that `shows_unknown` such text, it is ordinary.
    """
    return sum(length for length in unread if length >= LONG_LINE) >= MIN_UNKNOWN


def shows_unknown(unread: Sequence[float]) -> bool:
    """Tells whether a reference shows text in a script that cannot be read.

    Args:
        unread: Lengths of such lines of the reference, in heights of the line.

    Returns:
        Whether it does.
    """
    return sum(unread) >= MAX_KNOWN


def _pieces(text: str) -> Iterator[str]:
    for pattern in (_REPORT, _CONVERSATION):
        yield from (match[0] for match in pattern.finditer(text))
    misread = text.translate(_MISREAD)
    yield from (text[match.start() : match.end()] for match in _EXACT.finditer(misread))
    for match in _DENIALS.finditer(misread):
        nearby = misread[max(match.start() - MAX_HINT_DISTANCE, 0) : match.end() + MAX_HINT_DISTANCE]
        if not _STATISTICS.search(nearby):
            yield text[match.start() : match.end()]
    letters = _letters(text)
    for phrase in _FUZZY:
        found = fuzz.partial_ratio_alignment(phrase, letters, score_cutoff=MIN_PHRASE_SIMILARITY)
        if found and len(letters) >= len(phrase):
            yield letters[found.dest_start : found.dest_end]
    misread = _NOTES.sub(lambda note: "." * len(note[0]), misread)
    for kinds in _WORDS.values():
        hints = sorted(
            (match.start(), match.end(), kind) for kind, words in kinds.items() for match in words.finditer(misread)
        )
        for place, (start, stop, kind) in enumerate(hints):
            for begins, end, other in hints[place + 1 :]:
                if end - start > MAX_HINT_DISTANCE:
                    break
                if begins >= stop and frozenset((kind, other)) in _TOGETHER:
                    yield text[start:end]


def _is_in(found: str, known: str) -> bool:
    nearly = (
        len(found) >= MIN_LETTERS_INSIDE_WORD
        and len(known) >= len(found)
        and fuzz.partial_ratio(found, known) >= MIN_TEXT_SIMILARITY
    )
    return found in known or nearly


def _plain(lines: Sequence[str]) -> str:
    """Lower case without accents, one blank at most, letters of other scripts as the Latin ones that they look like."""
    text = unicodedata.normalize("NFKD", " ".join(lines)[:MAX_CHARACTERS]).casefold().translate(_SCRIPTS)
    return " ".join("".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf")).split())


def _letters(plain: str) -> str:
    """Letters and digits alone, those that look alike as one."""
    return "".join(filter(str.isalnum, plain.translate(_MISREAD)))


def _listed(words: str) -> list[str]:
    return [_plain([word]) for line in words.strip().splitlines() for word in line.split("|")]


def _spelled(words: list[str]) -> re.Pattern[str]:
    """Any of the words, whatever stands between their letters; short ones only where a word begins."""
    found = []
    for word in words:
        start = "" if len(_letters(word)) >= MIN_LETTERS_INSIDE_WORD or not word.isascii() else r"(?<![a-z\d])"
        end = "(?![a-z])" if word.endswith("_") else ""
        signs = "".join(word.rstrip("_").replace("'", "").translate(_MISREAD).split())
        found.append(start + r"\W*".join(map(re.escape, signs)) + end)
    return re.compile("|".join(sorted(found, key=len, reverse=True)))


_EXACT, _DENIALS, _STATISTICS, _NOTES = (_spelled(_listed(words)) for words in (PHRASES, DENIALS, STATISTICS, NOTES))
_FUZZY = [_letters(phrase) for phrase in _listed(PHRASES) if len(_letters(phrase)) >= MIN_LETTERS_FUZZY]
_TOGETHER = {frozenset(pair.split("+")) for pair in _listed(TOGETHER)}
_WORDS = {language: {kind: _spelled(_listed(words)) for kind, words in kinds.items()} for language, kinds in HINTS.items()}
