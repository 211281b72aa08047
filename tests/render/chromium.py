"""Small tables, and the processes that draw them."""

from __future__ import annotations

import psutil

from visual_erm.extract import Code


def html(text: str) -> Code:
    return Code("html", text)


def small_table(seed: int) -> Code:
    return html(f"<table><tr><th>n</th><th>seed</th></tr><tr><td>{seed % 7}</td><td>{seed}</td></tr></table>")


def browsers(owner: psutil.Process | None = None) -> list[psutil.Process]:
    """The main processes of the Chromiums below `owner` (default: this Python)."""
    return [process for process in (owner or psutil.Process()).children(recursive=True) if is_browser(process)]


def is_browser(process: psutil.Process) -> bool:
    command = command_of(process)
    return "--remote-debugging-pipe" in command and command[0].endswith(("shell", "chromium", "chrome"))


def is_tab(process: psutil.Process) -> bool:
    return "--type=renderer" in command_of(process)


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline() or [""]
    except psutil.Error:
        return [""]
