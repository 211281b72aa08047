"""Keys of servers: read from a variable or a file, without line ends, and refused where no HTTP header takes them.

Every key of this project is read here: that of judges, of the servers that `visual-erm serve` starts, and Ray's token.
No message shows a key; it names the variable or the file that the key comes from.

    key_of_variable("VISUAL_ERM_API_KEY", os.environ)
    key_of_file(Path("outputs/api_key"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from visual_erm.errors import ConfigError


def key_of_variable(name: str, environ: Mapping[str, str], source: str = "") -> str:
    """Reads a key from an environment variable.

    Args:
        name: Name of the variable.
        environ: The environment.
        source: What messages call the variable. Default: its name.

    Returns:
        The key without blanks and line ends around it; empty where there is none.

    Raises:
        ConfigError: No HTTP header takes the key.
    """
    return _checked(environ.get(name, ""), source or f"the variable {name}")


def key_of_file(file: Path, source: str = "") -> str:
    """Reads a key from a file.

    Args:
        file: The file. A byte order mark is no part of the key.
        source: What messages call the file. Default: its path.

    Returns:
        The key without blanks and line ends around it.

    Raises:
        ConfigError: The file cannot be read or holds no key, or no HTTP header takes the key.
    """
    source = source or str(file)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{source} cannot be read: {reason}") from None
    if not text.strip():
        raise ConfigError(f"{source} is empty; write the key into it, or give another file")
    return _checked(text, source)


def _checked(text: str, source: str) -> str:
    key = text.strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{source} holds characters that an HTTP header does not take; a key is one line of plain ASCII")
    return key
