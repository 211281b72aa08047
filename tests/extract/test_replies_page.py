"""docs/replies.md: each line of its table is true, with fences of both kinds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from visual_erm.errors import NoCodeError
from visual_erm.extract import extract

PAGE = (Path(__file__).parents[2] / "docs" / "replies.md").read_text(encoding="utf-8")
WORDS = {
    "T1": "<table><tr><td>1</td></tr></table>",
    "T2": "<table><tr><td>2</td></tr></table>",
    "MD": "| a | b |\n|---|---|\n| 1 | 2 |",
    "PY": "import matplotlib.pyplot as plt\n\nplt.plot([1, 2])",
    "SVG": '<svg viewBox="0 0 9 9"><circle r="3"/></svg>',
}
ROWS = [
    [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in re.findall(r"^\| (?:html|markdown|python|svg) .*$", PAGE, re.MULTILINE)
]


def written_out(cell: str) -> str:
    text = cell.removeprefix("`").removesuffix("`").replace("⏎", "\n")
    return re.sub(r"\b(?:T1|T2|MD|PY|SVG)\b", lambda word: WORDS[word[0]], text)


@pytest.mark.parametrize("fence", ["~", "`"])
@pytest.mark.parametrize(("language", "reply", "taken"), ROWS, ids=[row[1] for row in ROWS])
def test_what_the_page_says_is_taken(language: str, reply: str, taken: str, fence: str) -> None:
    reply = written_out(reply).replace("~", fence)
    if taken == "nothing":
        with pytest.raises(NoCodeError):
            extract(reply, [language])
    else:
        assert extract(reply, [language]).text == written_out(taken)


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 35
