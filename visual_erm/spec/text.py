"""Text files that people write: decoded by what they say of themselves, and refused rather than read wrongly.

Code, replies, Markdown, lists of endpoints and keys are read here.

    read_text(Path("reply.txt"))
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

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
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")
    declared = _XML.match(content)
    encoding = encoding or (declared[1].decode("ascii") if declared else "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not {encoding}; save the file as UTF-8") from error
    except LookupError:
        raise ConfigError(f"{path}: its encoding {encoding} is unknown; save the file as UTF-8") from None
