"""Text files that people write: decoded by what they say of themselves, and refused rather than read wrongly.

Code, replies, Markdown, lists of endpoints and keys are read here.

    read_text(Path("reply.txt"))
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visual_erm.errors import ConfigError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, and the encoding that each says. The first that a file begins with counts."""
_XML = re.compile(rb"""\s*<\?xml[^>]{0,200}?\bencoding\s*=\s*["']([\w.:-]{1,40})["']""")


def read_text(path: Path) -> str:
    """Reads a text file.

    Args:
        path: The file. A byte order mark says its encoding, else an XML declaration does, else it is UTF-8.

    Returns:
        The text without a byte order mark.

    Raises:
        ConfigError: The file cannot be read, or is not in that encoding. The message names the byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_text(content, str(path))


def decode_text(content: bytes, name: str) -> str:
    """Decodes a text that somebody wrote.

    Args:
        content: The text, see `read_text`.
        name: Says in messages where it is from.

    Returns:
        The text without a byte order mark.

    Raises:
        ConfigError: It is not in its encoding. The message names the byte.
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    declared = _XML.match(content)
    encoding = encoding or (declared[1].decode("ascii") if declared else "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start} is not {encoding}; save the file as UTF-8") from error
    except LookupError:
        raise ConfigError(f"{name}: its encoding {encoding} is unknown; save the file as UTF-8") from None


def jsonl_lines(path: Path) -> Iterator[bytes]:
    """Reads a JSONL file line by line.

    Args:
        path: The file, in UTF-8, or with the byte order mark of another encoding.

    Yields:
        Each line in UTF-8, as `json_of_line` takes it.

    Raises:
        ConfigError: The file cannot be read, or is not in the encoding that its mark says.
    """
    try:
        with path.open("rb") as content:
            start = content.read(4)
            encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8-sig")
            content.seek(0)
            if encoding == "utf-8-sig":
                yield from content
                return
        with path.open(encoding=encoding, newline="\n") as lines:
            for line in lines:
                yield line.encode(errors="replace")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not {error.encoding}, as its first bytes say; save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def json_of_line(line: bytes) -> Any:
    """Decodes one line of a JSONL file.

    Args:
        line: The line in UTF-8.

    Returns:
        What it holds.

    Raises:
        ValueError: It is not JSON, or not UTF-8, or lists in it are nested too deeply. The message names the byte.
    """
    try:
        return json.loads(line.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not utf-8; save the file as UTF-8") from error
