"""A row's reference is bytes or a path in a mapping; anything else is told by a sentence that says what it must be."""

from pathlib import Path
from typing import Any

import pytest

from visual_erm.data.row_contract import reference_of
from visual_erm.errors import ConfigError


@pytest.mark.parametrize(
    ("reference", "found"),
    [({"bytes": b"1", "path": "x"}, b"1"), ({"bytes": None, "path": "x.png"}, Path("root/x.png"))],
)
def test_bytes_go_before_the_path(reference: Any, found: Any) -> None:
    assert reference_of({"reference": reference}, "root", "row 1") == found


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "holds neither `bytes` nor `path`"),
        ({}, "holds neither"),
        ("images/1.png", "must be a mapping with `bytes` or `path`, found str"),
        (b"\x89PNG", "must be a mapping with `bytes` or `path`, found bytes"),
        (["images/1.png"], "must be a mapping .* found list"),
        ({"path": b"x"}, r"reference\.path` must be text, found bytes"),
        ({"bytes": "iVBORw0KGgo="}, r"reference\.bytes` must be bytes of an image, found str"),
        ({"bytes": [137, 80]}, r"reference\.bytes` must be bytes of an image, found list"),
    ],
)
def test_anything_else_is_named(reference: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"row 1: .*{message}"):
        reference_of({"reference": reference}, None, "row 1")
