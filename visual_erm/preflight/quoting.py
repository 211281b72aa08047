"""Values on a command line. Hydra's grammar gives `=`, `(`, `~`, `#`, commas and brackets a meaning, and so does the shell.

override("run_dir", "runs/a=b")                 # run_dir="runs/a=b"
pasted(override("run_dir", "runs/a=b"))         # 'run_dir="runs/a=b"'
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException


def override(key: str, value: str | Sequence[str]) -> str:
    """Writes a text, or a list of texts, so that Hydra reads exactly that.

    Args:
        key: The key, with `+`, `++` or nothing before it.
        value: The text or the texts. A text like `1e5` or `null` stays a text.

    Returns:
        The override, for Hydra. A shell needs `pasted` round it.
    """
    if isinstance(value, str):
        return f"{key}={_text(value)}"
    return f"{key}=[{','.join(map(_text, value))}]"


def pasted(word: str) -> str:
    """Quotes a word of a command line for a shell.

    Args:
        word: The word.

    Returns:
        What to type into a shell.
    """
    return shlex.quote(word)


def meant(word: str, is_list: bool) -> str:
    """Quotes the value of an override that Hydra cannot read as it stands.

    Args:
        word: The override, as it was given: `key=value`.
        is_list: Whether the key takes a list. A value in brackets is one in any case, unless it is an address of IPv6.

    Returns:
        The override with the value, or each item of the list, as a text.
    """
    key, _, value = word.partition("=")
    in_brackets = value.startswith("[") and value.endswith("]")
    if not (is_list or in_brackets):
        return override(key, value)
    items = (value[1:-1] if in_brackets else value).split(",")
    return override(key, [_bare(item.strip()) for item in items if item.strip()])


def _bare(text: str) -> str:
    """An item without its own quotation marks."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _text(value: str) -> str:
    return value if _is_plain(value) else str(QuotedString(text=value, quote=Quote.double).with_quotes())


@functools.lru_cache
def _is_plain(value: str) -> bool:
    """Whether Hydra reads a value without quotation marks, in a list as well, as this very text."""
    if "," in value or value.split() != [value]:
        return False
    try:
        read = OverridesParser.create().parse_override(f"key=[{value}]").value()
    except (HydraException, TypeError):
        return False
    return read == [value] and isinstance(read, list) and isinstance(read[0], str)
