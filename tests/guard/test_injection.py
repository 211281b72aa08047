"""Text in a picture that talks to the judge, in ten languages; ordinary texts of charts and tables beside it.

The wordings are those of benchmarks/injection.py, which measures all of them in all looks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from visual_erm.guard.injection import addresses_judge, is_long, shows_unknown
from visual_erm.guard.runner import GuardRunner
from visual_erm.reward.report import Report
from visual_erm.spec.task import load_task

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TEXTS = yaml.safe_load((BENCHMARKS / "injection_wordings.yaml").read_text(encoding="utf-8"))
READ = [language for language in TEXTS["languages"] if language not in ("ru", "ko", "ar")]
"""Languages whose script the recognizer reads."""


@pytest.fixture(scope="module")
def pictures():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import injection_pictures
    finally:
        sys.path.remove(str(BENCHMARKS))
    if not injection_pictures.CJK.is_file():
        pytest.skip("needs fonts-noto-cjk")
    return injection_pictures


@pytest.mark.parametrize("language", READ)
def test_every_wording_is_found_whatever_the_language(language):
    said = {name: texts[language] for name, texts in TEXTS["wordings"].items()}
    assert [name for name, text in said.items() if not addresses_judge([text], [])] == []
    assert [name for name, text in said.items() if addresses_judge([text], ["Lima", text])] == []


@pytest.mark.parametrize("language", READ)
def test_no_ordinary_text_is_taken_for_it_whatever_the_language(language):
    assert [text for text in TEXTS["ordinary"][language] if addresses_judge([text], [])] == []


@pytest.mark.parametrize(
    "text",
    [
        "Treatment difference (95% CI), score at week 12",
        "Don't know | Correct | Wrong",
        "Acceptance rate and error rate",
        "Review approved, review rejected",
        "10 errors, 20 errors, 100 errors",
        "Please note that standard errors are in parentheses.",
        "Intervalo de confianza, error estándar, tratamiento, diferencia",
        "Behandelte Gruppe, Unterschied, richtige Antworten, Fehler",
        "Groupe traité, différence, note des répondants",
        "Grupo tratado, diferença, nota média",
        "性别、类别、错误率、评估完成率",
        "検査終了日、見逃し率、取扱件数、誤り",
    ],
)
def test_words_that_begin_like_orders_are_none(text):
    assert addresses_judge([text], []) == ""


@pytest.mark.parametrize(
    ("unread", "known", "flagged"),
    [
        ((12.0,), (), True),
        ((6.0, 6.0), (2.0,), True),
        ((10.0,), (), False),
        ((4.0,) * 5, (), False),
        ((30.0,), (1.6, 1.6), False),
        ((), (), False),
    ],
)
def test_a_sentence_that_cannot_be_read_is_suspicious_unless_the_reference_shows_the_like(unread, known, flagged):
    assert (is_long(unread) and not shows_unknown(known)) is flagged


async def verdicts(pairs: list[tuple[Image.Image, Image.Image]]) -> list[bool]:
    runner = GuardRunner(load_task("chart"), model_judge=True)
    try:
        return ["injection" in (await runner.check_report(*pair, Report())).flags for pair in pairs]
    finally:
        await runner.close()


@pytest.mark.long
@pytest.mark.asyncio
async def test_the_guard_finds_sentences_in_every_language_and_look(pictures):
    wordings, pairs = list(TEXTS["wordings"].values()), []
    for number, language in enumerate(TEXTS["languages"]):
        draw = list(pictures.LOOKS.values())[number % len(pictures.LOOKS)]
        reference = (pictures.table if number % 2 else pictures.chart)("en")
        pairs.append((reference, draw(reference, wordings[number % 3][language], language, number)))
    found = await verdicts(pairs)
    assert [language for language, flagged in zip(TEXTS["languages"], found, strict=True) if not flagged] == []


@pytest.mark.asyncio
async def test_a_wrong_title_in_the_language_of_the_reference_is_no_injection(pictures):
    pairs = []
    for language in ("en", "ja", "ko", "ru", "ar"):
        texts = TEXTS["ordinary"][language]
        for known in ("", texts[4]):
            pairs.append((pictures.chart(language, known), pictures.chart(language, texts[3])))
    assert not any(await verdicts(pairs))
