"""The key of servers that other machines can reach: it stands between the command line and the supervisor.

    key = server_key("0.0.0.0", Path("outputs/endpoints/api_key"), os.environ)

The key is made once and kept in a file that only its owner can read. Judges read the file (`judge.api_key_file`).
Servers on several machines share the key when they share the file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import is_private
from visual_erm.serve.supervisor import KEYS
from visual_erm.spec.keys import key_of_file, key_of_variable


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there.

    Args:
        host: Address or name that the server listens on.

    Returns:
        True for `localhost` and loopback addresses. False for every other name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_key(host: str, file: Path | None, environ: Mapping[str, str]) -> str:
    """The key that the servers ask of every judge.

    Args:
        host: Address that the servers listen on.
        file: File that holds the key, or will hold it. None: on a loopback address no key is made.
        environ: Environment of this process. A key in it is used as it is, and no file is written.

    Returns:
        The key; empty where none is asked for.

    Raises:
        ConfigError: The file cannot be read or written, others than its owner can read it, or no HTTP header takes the key.
    """
    if given := given_key(environ):
        return given
    if file is None:
        if is_loopback(host):
            return ""
        raise ConfigError(f"--host {host}: other machines reach it; give --key-file FILE, or set {KEYS[0]}")
    try:
        if not file.exists():
            _write_new(file)
        if not is_private(file):
            raise ConfigError(
                f"{file}: others than its owner can read it; run `chmod 600 {file}`, or give another --key-file"
            )
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read or written: {error.strerror}; give another --key-file") from None
    return key_of_file(file, f"--key-file: {file}")


def given_key(environ: Mapping[str, str]) -> str:
    """The key that the environment holds.

    Args:
        environ: Environment of this process.

    Returns:
        The first key in `KEYS`, without line ends; empty where none of them is set, or all are blank.

    Raises:
        ConfigError: No HTTP header takes the key.
    """
    return next(filter(None, (key_of_variable(name, environ) for name in KEYS)), "")


def _write_new(file: Path) -> None:
    """Makes the file with a new key, unless another machine is faster: then that one's key stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(f"{secrets.token_hex(32)}\n")
        # A link is made in one step, and fails where the file is there already.
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
    finally:
        new.unlink(missing_ok=True)
