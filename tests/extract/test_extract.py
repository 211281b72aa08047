"""Replies as policies write them, and the code that must come out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visual_erm.errors import NoCodeError
from visual_erm.extract import Code, Language, extract
from visual_erm.extract.code import whole_block

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
    with pytest.raises(NoCodeError, match="thinking"):
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
    with pytest.raises(NoCodeError, match="html or markdown"):
        extract(reply, BOTH)


def test_only_the_tasks_languages_count() -> None:
    reply = f"```html\n{ONE}\n```\n{PIPES}"
    assert extract(reply, ["html"]) == html(ONE)
    assert extract(reply, ["markdown"]) == markdown(PIPES)
    with pytest.raises(NoCodeError, match="no code in markdown"):
        extract(ONE, ["markdown"])


def test_an_unlabelled_fence_that_could_be_both_is_read_in_the_preferred_language() -> None:
    reply = f"```\n{ONE}\n\n{PIPES}\n```"
    assert extract(reply, ["html", "markdown"]).language == "html"
    assert extract(reply, ["markdown", "html"]).language == "markdown"


# Scripts


SCRIPT = "import matplotlib.pyplot as plt\n\nplt.plot([1, 2])\nplt.show()"
OTHER = "from matplotlib import pyplot as plt\n\nplt.bar([1], [2])"
HELD = """import svgutils as su\nsu.fromstring("<svg width='1'><path/></svg>")"""
BROKEN = "import matplotlib.pyplot as plt\nplt.plot([1, 2)\nplt.show()"
INDENTED = "\n".join(f"   {line}" for line in SCRIPT.split("\n"))


def python(text: str) -> Code:
    return Code("python", text)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```python\n{SCRIPT}\n```", SCRIPT),
        (f"```py\n{SCRIPT}\n```", SCRIPT),
        (f"```python3\n{SCRIPT}\n```\n", SCRIPT),
        (f"``` Python\r\n{SCRIPT}\r\n```", SCRIPT),
        (f"~~~python\n{SCRIPT}\n~~~", SCRIPT),
        (f"```\n{SCRIPT}\n```", SCRIPT),
        (f"Sure: ```python\n{SCRIPT}```\nRun it.", SCRIPT),
        (f"1. The script:\n   ```python\n{INDENTED}\n   ```\n2. Run it.", SCRIPT),
        (f"```python\n{BROKEN}\n```", BROKEN),
        ("```python\nplt.plot([1, 2])\n```", "plt.plot([1, 2])"),
        (f"```python\n{SCRIPT}", SCRIPT),
        ("```python\nimport matplotlib.pyplot as plt\nplt.plot([1, 2", "import matplotlib.pyplot as plt\nplt.plot([1, 2"),
    ],
)
def test_a_fenced_script_is_taken_whole_and_as_written(reply: str, code: str) -> None:
    assert extract(reply, ["python"]) == python(code)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (SCRIPT, SCRIPT),
        (f"\n{SCRIPT}\n", SCRIPT),
        (f"# A line\n{SCRIPT}", f"# A line\n{SCRIPT}"),
        (f'"""A line."""\nsize = 3\n{SCRIPT}', f'"""A line."""\nsize = 3\n{SCRIPT}'),
        (f"Here is the script:\n{SCRIPT}", SCRIPT),
        (f"It is a line chart.\n\n{SCRIPT}\n\nThis draws the line of the picture.", SCRIPT),
        (f"Code\n{SCRIPT}\n\nDone.\n\nHope it (the script) isn't wrong!", SCRIPT),
        (f"{SCRIPT}\n\n- **line**: as in the picture", SCRIPT),
        (f"{SCRIPT}\n\n这是一张折线图。", SCRIPT),
        (f"import matters when you draw.\n\n{SCRIPT}", SCRIPT),
        (f"Draft:\n{OTHER}\n\nBetter, with a line:\n\n{SCRIPT}", SCRIPT),
        (f"{SCRIPT}\n\nIt needs:\nimport matplotlib", SCRIPT),
        (HELD, HELD),
        ("import numpy as np\nx = 'it\\'s \\d'\nprint(x)", "import numpy as np\nx = 'it\\'s \\d'\nprint(x)"),
    ],
)
def test_a_bare_script_comes_without_the_prose_around_it(reply: str, code: str) -> None:
    assert extract(reply, ["python", "svg"]) == python(code)


@pytest.mark.parametrize(
    "wrong", [BROKEN, f"{SCRIPT}\n\nplt.title('cut o", f"{SCRIPT}\n\nprint 'two'\nx y", f"{SCRIPT}\nand that is all."]
)
def test_an_error_in_a_bare_script_is_not_repaired_by_leaving_it_out(wrong: str) -> None:
    assert extract(f"The script:\n{wrong}", ["python"]) == python(wrong)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```python\n{OTHER}\n```\nBetter:\n```python\n{SCRIPT}\n```", SCRIPT),
        (f"```python\n{SCRIPT}\n```\nTo save it, add\n```python\nplt.savefig('a.png')\n```", SCRIPT),
        (f"```python\n{SCRIPT}\n```\nBetter:\n```python\nimport matplotlib.pyplot as plt\nplt.ba", SCRIPT),
        (f"```bash\npip install matplotlib\n```\n```python\n{SCRIPT}\n```\n```\n1.0\n```", SCRIPT),
        (f"<think>\n```python\n{OTHER}\n```\n</think>\n{SCRIPT}", SCRIPT),
    ],
)
def test_the_last_complete_script_wins(reply: str, code: str) -> None:
    assert extract(reply, ["python"]) == python(code)


@pytest.mark.parametrize(
    "reply",
    ["", "import matters a lot.", "I would import numpy and plot it.", "```\nplt.show()\n```", f"```html\n{SCRIPT}\n```",
     "```python\n \n```", "from the picture:\nimport numpy"],
)  # fmt: skip
def test_a_reply_without_a_script_has_no_code(reply: str) -> None:
    with pytest.raises(NoCodeError, match="no code in python"):
        extract(reply, ["python"])


# Drawings


ICON = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9"/></svg>'
DOT = '<svg viewBox="0 0 9 9">\n<circle r="3"/>\n</svg>'
NESTED = f'<svg width="9">{DOT}<g/></svg>'
DECLARED = f'<?xml version="1.0"?>\n<!-- icon -->\n<!DOCTYPE svg [<!ENTITY a "b">]>\n{ICON}'
CUT = '<svg width="9"><path d="M0 0h9"/><g fill="'


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```svg\n{ICON}\n```", ICON),
        (f"```SVG\n{DECLARED}\n```", DECLARED),
        (f"```xml\n{ICON}\n```\nDone.", ICON),
        (f"```html\n<!DOCTYPE html><html><body>{ICON}</body></html>\n```", ICON),
        (f"```\n{ICON}\n```", ICON),
        (f"```svg\n{NESTED}\n```", NESTED),
        (f"```svg\n{ICON}\n\nIs that right?", ICON),
        (ICON, ICON),
        (f"I use the <svg> element and `</svg>`:\n{DOT}\nThat is it.", DOT),
        (f"So: {DECLARED} Bye", DECLARED),
        ('<svg><rect width="3"/></svg>', '<svg><rect width="3"/></svg>'),
        (NESTED, NESTED),
        ('<svg width="9"/>', '<svg width="9"/>'),
        (f"{DOT} No: {ICON}", ICON),
        (f"```svg\n{DOT}\n```\nBetter:\n{ICON}", ICON),
        (f"```svg\n{ICON}\n```\nBetter:\n```svg\n{CUT}", ICON),
        (f"{ICON} Better: {CUT}", ICON),
        (f"So:\n{CUT}", CUT),
        (f"```svg\n{CUT}", CUT),
        (f"```svg\n{CUT}\n```\nSorry.", CUT),
        (f"<think>{DOT}</think>{ICON}", ICON),
    ],
)
def test_a_drawing_comes_without_what_is_around_it(reply: str, code: str) -> None:
    assert extract(reply, ["svg"]) == Code("svg", code)


@pytest.mark.parametrize(
    "reply", ["", "The <svg> element.", "</svg>", "<svg wid", "<svgs a='1'></svgs>", "```svg\nno\n```"]
)
def test_a_reply_without_a_drawing_has_no_code(reply: str) -> None:
    with pytest.raises(NoCodeError, match="no code in svg"):
        extract(reply, ["svg"])


@pytest.mark.parametrize("reply", [f"```python\n{SCRIPT}\n```\n```svg\n{ICON}\n```", f"{ICON}\n\n{SCRIPT}"])
def test_a_script_and_a_drawing_in_one_reply_are_told_apart_by_the_tasks_languages(reply: str) -> None:
    assert extract(reply, ["python"]) == python(SCRIPT)
    assert extract(reply, ["svg"]) == Code("svg", ICON)
    with pytest.raises(NoCodeError, match="no code in html or markdown"):
        extract(reply, BOTH)


# Any reply


ALL = ["html", "markdown", "python", "svg"]
FRAGMENTS = [
    "<table>", "</table>", "<table ", "<TABLE a='1'>", "<tr>", "</tr>", "<td>", "</td>", "<html>", "</html>",
    "<!doctype html>", "<think>", "</think>",
    "<svg>", "<svg a='1'>", "</svg>", "<svg/>", "<?xml?>", "<!DOCTYPE svg>", "import a\n", "from a import b\n", "a = (",
    "'''", "#", ":", "def f():\n", "\n\nSome words.\n\n", ICON, SCRIPT, "svg", "xml", "\ud800",
    "```", "````", "~~~", "html", "markdown", "md", "python", "\n", "\r\n", "    ", "|", "\\|",
    "---", ":-:", "<", ">", "`", "-", "text", "\x00", "表", ONE, PIPES,
]  # fmt: skip
REPLIES = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=5), max_size=60).map("".join)


@given(REPLIES)
@settings(max_examples=250, deadline=None)
def test_any_reply_gives_code_or_no_code_and_code_found_once_is_found_again(reply: str) -> None:
    try:
        code = extract(reply, ALL)
    except NoCodeError:
        return
    assert code.text.strip()
    marks = "`" * 100
    assert extract(f"{marks}{code.language}\n{code.text}\n{marks}", [code.language]) == code


@given(st.text(st.characters(exclude_characters="`~<", exclude_categories=["Cs"])))
@settings(deadline=None)
def test_a_fenced_script_comes_back_byte_for_byte(body: str) -> None:
    script = f"import a\n{body.replace(chr(13), '')}"
    assert extract(f"Here:\n```python\n{script}\n```\nDone.", ["python"]) == python(script)


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
    "<svg a='1'>", "<svg ", "<svg>", "</svg>", "<svg/>", "<?xml", "<?xml?>", "<!DOCTYPE svg ", "<!--", "<svg>" + " " * 60,
    "<?xml?><svg a='1'></svg>", "<!DOCTYPE [<!---->", "import a\n", "import a\na\n", "import a\na b\n",
    "import a\nb\n\nSome words.\n\n", "import a\n\nSome (words\n\n", "```python\nimport a\n", "```python\n ", "import a;(",
    "import ", "from a import b\n\t", "<|", "<|a|>", "<answer>", "x</answer>", '=("', "='<think>", "{", "[",
    '{"a":"', "[\n", "[1]\n", '{"a":"<table>"}\n', "```a\n", "x ```html\n", "x```\n", "```\nx```\n", "```json\n",
    "~~~\n```\n", "<svg:svg>", "<a>x</a>",
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("unit", HOSTILE, ids=[ascii(unit)[:24] for unit in HOSTILE])
@pytest.mark.timeout(60)
def test_a_quarter_of_a_hostile_megabyte_is_read_in_linear_time(unit: str) -> None:
    """Quadratic work on so many characters would run for many minutes; linear work ends within a second or two."""
    reply = unit * (250_000 // len(unit))
    try:
        assert len(extract(reply, ALL).text) <= len(reply)
    except NoCodeError:
        assert reply


FORM = '<form>\n<label>Name <input value="Ada"></label>\n<p>Age</p>\n</form>'


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"```html\n{FORM}\n```", FORM),
        (f"```\n{FORM}\n```", FORM),
        ("```html\n<p>One line</p>\n```", "<p>One line</p>"),
        (f"Here:\n{FORM}\nDone.", FORM),
        (f"Here:\n{FORM}\n\n{FORM}\nDone.", f"{FORM}\n\n{FORM}"),
        (f"<!DOCTYPE html>\n<html><body><div>{FORM}</div></body></html> Bye", None),
        (f"I use a <form> element.\n\n{ONE}\n", ONE),
        (f"{FORM}\nor rather\n<div>{ONE}<div>2</div></div>", f"<div>{ONE}<div>2</div></div>"),
        ("Cut off: \n<form>\n<p>Name", "<form>\n<p>Name"),
        (f"```html\n{FORM}", FORM),
    ],
)
def test_a_page_is_any_html_with_or_without_a_table(reply: str, code: str | None) -> None:
    assert extract(reply, ["html_page"]) == html(code or reply.removesuffix(" Bye"))


@pytest.mark.parametrize(
    "reply", ["a < b > c", "```html\nno tags\n```", "the <form> tag", "```python\nprint('<p>')\n```", ""]
)
def test_what_holds_no_html_is_no_page(reply: str) -> None:
    with pytest.raises(NoCodeError, match="html_page"):
        extract(reply, ["html_page"])


RECIPE = Language("recipe", ("recipe",), (".recipe",), whole_block("recipe"))


def test_a_language_of_ones_own_is_found_in_its_fences_only() -> None:
    assert extract("First:\n```recipe\n  two eggs\n```\nthree eggs", [RECIPE]) == Code("recipe", "  two eggs")
    assert extract("Look: ```recipe\none egg```", [RECIPE]) == Code("recipe", "one egg")
    assert extract("```\none egg\n```", [RECIPE]) == Code("recipe", "one egg")
    for reply in ("one egg", "```python\none egg\n```", "```recipe\n\n```"):
        with pytest.raises(NoCodeError, match="recipe"):
            extract(reply, [RECIPE])


SPECIFICATION = Language("specification", ("json",), (".json",), whole_block("specification"))


@pytest.mark.parametrize("label", ["json", ""])
def test_a_language_of_ones_own_may_be_json(label: str) -> None:
    code = '{"mark": "bar", "data": {"values": ["a", "b"]}}'
    assert extract(f"```{label}\n{code}\n```", [SPECIFICATION]) == Code("specification", code)


PIECES = ["<form>", "</form>", "<div>", "</div>", "<p a=1>", "\n", "x", "```", "```html\n", "<", ">"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_reply_is_a_page_or_none(reply: str) -> None:
    with contextlib.suppress(NoCodeError):
        assert extract(reply, ["html_page"]).text.strip()


def test_a_table_of_a_page_begins_anywhere_in_a_line():
    assert extract("Here: <table><tr><td>1</td></tr></table>", ["html_page"]).text.startswith("<table>")
    with pytest.raises(NoCodeError):
        extract("Use a <div> element.", ["html_page"])
