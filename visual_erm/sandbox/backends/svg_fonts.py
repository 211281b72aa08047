"""Fonts for isolated workers: the server makes fontconfig's lists of them once, where every worker can read them.

Making them takes a second or more, and a worker that was killed is soon replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

# The salt gives these lists names of their own, so that none of the machine's is taken for one and left out.
_CONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <cachedir>{folder}</cachedir>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <reset-dirs/>
  <dir salt="sandbox">/usr/share/fonts</dir>
  <dir salt="sandbox">/usr/local/share/fonts</dir>
  <config><rescan><int>0</int></rescan></config>
</fontconfig>
"""


def list_fonts(folder: Path, render_text: Callable[[], object]) -> None:
    """Writes fontconfig's lists of the machine's fonts, for this process and those it forks.

    Args:
        folder: Folder for the lists.
        render_text: Makes the library read every font. It is called in a process of its own, which ends with it.
    """
    config = folder / "fonts.conf"
    config.write_text(_CONFIG.format(folder=folder))
    os.environ["FONTCONFIG_FILE"] = str(config)
    child = os.fork()
    if child == 0:
        try:
            render_text()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
