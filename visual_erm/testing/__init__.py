"""Models that tests, the demo and checks of data build in place of published ones, without a download."""

from __future__ import annotations

from pathlib import Path


def write_tiny_policy(folder: Path) -> None:
    """Writes a tiny Qwen3-VL with random weights, tokenizer and processor. Imports torch when it is called.

    Args:
        folder: Folder of the model. It is created where it is missing.
    """
    from visual_erm.testing.tiny_qwen3vl import build_tiny_qwen3vl

    build_tiny_qwen3vl(folder)
