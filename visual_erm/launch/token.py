"""The secret that the nodes of a run share: who has it may run code on all of them.

It travels through environments and, where no scheduler hands it out, through a file that only its owner can read; never
through a command line or a log. The head makes one per start; a worker may read an old one first, and reads again.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import is_private, write_atomic
from visual_erm.spec.keys import key_of_file, key_of_variable

VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Ray's own variables: a token, or a file that holds one. With either set no token is made here."""
FILE = ".ray_token"
"""Name of the token's file in the run's folder."""


def is_given(environ: Mapping[str, str]) -> bool:
    """Tells whether the environment already holds the token. slurm/train.sbatch puts it there.

    Args:
        environ: The environment.

    Returns:
        True when one of `VARIABLES` is set.
    """
    return any(environ.get(name) for name in VARIABLES)


def clean(environ: MutableMapping[str, str]) -> None:
    """Checks a token that the environment holds, and removes line ends around it.

    Args:
        environ: The environment, which is changed.

    Raises:
        ConfigError: The token's file cannot be read or is empty, or no header takes the token. It is not shown.
    """
    variable, path = VARIABLES
    if environ.get(variable):
        environ[variable] = key_of_variable(variable, environ)
    elif environ.get(path):
        key_of_file(Path(environ[path]).expanduser(), f"{path}: {environ[path]}")


@contextlib.contextmanager
def create(file: Path | None) -> Iterator[str]:
    """Makes a new token for the time of a `with` block.

    Args:
        file: File for the token, which only its owner can read. An old one is replaced, and the file is removed in the end.
            None: the token is in no file.

    Yields:
        The token, 64 hexadecimal digits.

    Raises:
        ConfigError: The file cannot be written.
    """
    token = secrets.token_hex(32)
    if file is None:
        yield token
        return
    try:
        file.unlink(missing_ok=True)
        write_atomic(file, token, mode=0o600)
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written: {error.strerror}; give TOKEN_FILE=…, on a shared file system"
        ) from error
    try:
        yield token
    finally:
        with contextlib.suppress(OSError):
            if file.read_text() == token:
                file.unlink()


def read(file: Path) -> str | None:
    """Reads the token that the head wrote.

    Args:
        file: The file.

    Returns:
        The token; None while there is none.

    Raises:
        ConfigError: Others than its owner can read or write the file, or this process cannot read it.
    """
    try:
        if not is_private(file):
            raise ConfigError(
                f"{file}: others than its owner can read or write it; remove it, or give another TOKEN_FILE=…"
            )
        return file.read_text().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
