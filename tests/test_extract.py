"""Replies as policies write them, and the code that must come out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_erm.errors import NoCode
from visual_erm.extract import Code, extract

BOTH = ["html", "markdown"]
ONE = "<table><tr><td>1</td></tr></table>"
TWO = "<table><tr><td>2</td></tr></table>"
DOCUMENT = f"<!DOCTYPE html>\n<html><body><p>t</p>{ONE}</body></html>"
PIPES = "| a | b |\n|---|:-:|\n| 1 | 2 |"


def html(text: str) -> Code:
    return Code("html", text)


def markdown(text: str) -> Code:
    return Code("markdown", text)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```html\n{ONE}\n```", html(ONE)),
        (f"```HTML\n{ONE}\n```", html(ONE)),
        (f"``` html\n{ONE}\n```", html(ONE)),
        (f"  ```html\r\n{ONE}\r\n  ```\r\n", html(ONE)),
        (f"~~~html\n{ONE}\n~~~", html(ONE)),
        (f"````html\n{ONE}\n```\n````", html(f"{ONE}\n```")),
        (f"```\n{ONE}\n```", html(ONE)),
        (f"```html {ONE}```", html(ONE)),
        (f"Here it is: ```html\n{ONE}```\nDone.", html(ONE)),
        (f"```markdown\n{PIPES}\n```", markdown(PIPES)),
        (f"```md\n{PIPES}\n```", markdown(PIPES)),
        (f"```\n{PIPES}\n```", markdown(PIPES)),
        (f"```markdown\n{ONE}\n```", html(ONE)),
        (f"Of course.\n\n```html\n<h3>Title</h3>\n{ONE}\n```\n\nAnything else?", html(f"<h3>Title</h3>\n{ONE}")),
    ],
)
def test_a_fenced_table_is_taken_whole_and_as_written(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (ONE, html(ONE)),
        (f"The table: {ONE} That is all.", html(ONE)),
        (f"I use the <table> tag and `<table>` in code.\n{ONE}\nBye", html(ONE)),
        ("Sure!\n<TABLE border=1>\n<TR><TD>1</TABLE>\nBye", html("<TABLE border=1>\n<TR><TD>1</TABLE>")),
        (f"{DOCUMENT} Bye", html(DOCUMENT)),
        (f"Note:\n{PIPES}\nHope this helps.", markdown(PIPES)),
        (f"Note:\n\n{PIPES}\n\nHope this helps.", markdown(PIPES)),
        ("a | b\n--|--\n1 | 2", markdown("a | b\n--|--\n1 | 2")),
        ("    | a |\n    |---|\n    | 1 |", markdown("| a |\n|---|\n| 1 |")),
        ("| a \\| b |\n|---|\n| 1 |", markdown("| a \\| b |\n|---|\n| 1 |")),
    ],
)  # fmt: skip
def test_a_bare_table_comes_without_the_prose_around_it(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"<think>\n```html\n{ONE}\n```\n</think>\n{TWO}", html(TWO)),
        (f"The template opened it. {ONE}\n</think>\n{TWO}", html(TWO)),
        (f"<THINK>{ONE}</THINK>{TWO}<think>Is {ONE} better?", html(TWO)),
    ],
)
def test_thinking_is_no_part_of_the_answer(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    "reply", [f"<think>{ONE}", f"<think>Draft:\n```html\n{ONE}\n```", f"{ONE}</think>", "<think></think>"]
)
def test_a_reply_that_ends_while_thinking_has_no_code(reply: str) -> None:
    with pytest.raises(NoCode, match="thinking"):
        extract(reply, BOTH)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"{ONE} No, rather {TWO} So be it.", html(TWO)),
        (f"```html\n{ONE}\n```\nBetter:\n```html\n{TWO}\n```", html(TWO)),
        (f"```html\n{ONE}\n\nBetter:\n```html\n{TWO}\n```", html(TWO)),
        (f"```html\n{ONE}\n```\nAs Markdown:\n{PIPES}", markdown(PIPES)),
        (f"{PIPES}\n\nAs HTML:\n```html\n{ONE}\n```\nI used <table></table>.", html(ONE)),
        (f"```html\n{ONE}\n```\n```python\nprint('{TWO}')\n```", html(ONE)),
        (f"```html\n{ONE}\n```\nBetter:\n```html\n<table><tr><td>cut o", html(ONE)),
        (f"{ONE}\nBetter:\n<table><tr><td>2</td>", html(ONE)),
    ],
)
def test_the_last_complete_candidate_wins(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("```html\n<table><tr><td>1</td><td>tw", html("<table><tr><td>1</td><td>tw")),
        ("```html\n<table><tr><td>1</td></tr>\n```\nDone", html("<table><tr><td>1</td></tr>")),
        (f"```html\n<p>t</p>{ONE}\n\nHope this helps.", html(f"<p>t</p>{ONE}")),
        (f"```markdown\n{PIPES}", markdown(PIPES)),
        ("So:\n<table><tr><td>1</td><td>tw", html("<table><tr><td>1</td><td>tw")),
        ("So:\n<table><tr><td>1</td></tr>\n\nHope this helps.", html("<table><tr><td>1</td></tr>")),
        (f"<html><body>{ONE}\n", html(f"<html><body>{ONE}")),
        (f"<html><table><tr><td>{ONE}", html(f"<html><table><tr><td>{ONE}")),
    ],
)
def test_what_is_cut_off_is_left_to_the_browser(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```html\n{ONE}\n<p>and</p>\n{TWO}\n```", html(f"{ONE}\n<p>and</p>\n{TWO}")),
        (f"Two:\n{ONE}\n\n{TWO}\nBye", html(f"{ONE}\n\n{TWO}")),
        (f"Two:\n{ONE}<br>\n<h3>B</h3>{TWO}\nBye", html(f"{ONE}<br>\n<h3>B</h3>{TWO}")),
        (f"{PIPES}\n\n{PIPES}", markdown(f"{PIPES}\n\n{PIPES}")),
        (f"<table><tr><td>{ONE}</td></tr></table>", html(f"<table><tr><td>{ONE}</td></tr></table>")),
        ("<table><tr><td>| a |\n|---|\n</td></tr></table>", html("<table><tr><td>| a |\n|---|\n</td></tr></table>")),
    ],
)
def test_tables_of_one_answer_stay_together(reply: str, code: Code) -> None:
    assert extract(reply, BOTH) == code


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "I cannot read this table.",
        "The <table> element holds <tr> rows.",
        "<table></table>",
        "<table bord",
        "| a | b |\n| 1 | 2 |",
        "| a | b |\n|---|\n| 1 | 2 |",
        "Title\n---\ntext",
        "```html\nno table\n```",
        f"```html\n{PIPES}\n```",
        f"```python\n{ONE}\n```",
    ],
)
def test_a_reply_without_a_table_has_no_code(reply: str) -> None:
    with pytest.raises(NoCode, match="html or markdown"):
        extract(reply, BOTH)


def test_only_the_tasks_languages_count() -> None:
    reply = f"```html\n{ONE}\n```\n{PIPES}"
    assert extract(reply, ["html"]) == html(ONE)
    assert extract(reply, ["markdown"]) == markdown(PIPES)
    with pytest.raises(NoCode, match="no table in markdown"):
        extract(ONE, ["markdown"])


def test_an_unlabelled_fence_that_could_be_both_is_read_in_the_preferred_language() -> None:
    reply = f"```\n{ONE}\n\n{PIPES}\n```"
    assert extract(reply, ["html", "markdown"]).language == "html"
    assert extract(reply, ["markdown", "html"]).language == "markdown"


FRAGMENTS = [
    "<table>", "</table>", "<table ", "<TABLE a='1'>", "<tr>", "</tr>", "<td>", "</td>", "<html>", "</html>",
    "<!doctype html>", "<think>", "</think>",
    "```", "````", "~~~", "html", "markdown", "md", "python", "\n", "\r\n", "    ", "|", "\\|",
    "---", ":-:", "<", ">", "`", "-", "text", "\x00", "表", ONE, PIPES,
]  # fmt: skip
REPLIES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=60).map("".join)


@given(REPLIES)
@settings(max_examples=400, deadline=None)
def test_any_reply_gives_code_or_no_code_and_code_found_once_is_found_again(reply: str) -> None:
    try:
        code = extract(reply, BOTH)
    except NoCode:
        return
    assert code.text.strip()
    marks = "`" * 100
    assert extract(f"{marks}{code.language}\n{code.text}\n{marks}", [code.language]) == code


@given(st.text(), st.sampled_from([ONE, TWO, f"{ONE}\n{TWO}"]))
@settings(deadline=None)
def test_no_character_of_the_prose_before_a_bare_table_gets_into_the_code(prose: str, table: str) -> None:
    prose = prose.replace("<", "").replace("`", "").replace("~", "").replace("|", "")
    assert extract(f"{prose}\n{table}\n{prose}", BOTH) == html(table)


HOSTILE = [
    "<table>", "<table ", "<table>" + " " * 60, "<table><tr>", "<table\n", "</table>", "<html>", "<html><table><tr><td>",
    "<!doctype>", "<!doctype   ", "<think>", "</think>", "<think></think>",
    "`", "```", "```\n", "```html\n", "```html <table>",
    " ```html", "~~~\n", "|", "|\n", "|-", "|-|\n", "\\|", "\\", " ", "\n", "<", ONE, ONE + "x", PIPES + "\n",
    PIPES + "\n\nx\n\n",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE, ids=[ascii(unit)[:24] for unit in HOSTILE])
@pytest.mark.timeout(60)
def test_a_hostile_megabyte_is_read_in_linear_time(unit: str) -> None:
    """Quadratic work on a million characters would run for hours; linear work ends within about a second."""
    reply = unit * (1_000_000 // len(unit))
    try:
        assert len(extract(reply, BOTH).text) <= len(reply)
    except NoCode:
        assert reply
