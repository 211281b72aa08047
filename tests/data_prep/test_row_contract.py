"""A row's reference is bytes or a path in a mapping; anything else is told by a sentence that says what it must be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visual_erm.data.images import read_image
from visual_erm.data.row_contract import reference_of
from visual_erm.errors import ConfigError, ReferenceUnavailable
from visual_erm.vision.images import load_image


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


INSIDE = ["1.png", "images/1.png", "./images/../1.png", "images/inner.png", "images/gone.png"]
OUTSIDE = ["../1.png", "images/../../1.png", "/etc/hostname", "images/outer.png", "elsewhere/1.png", "loop.png", "a\0b.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of data with links that stay inside, and others that lead out."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (tmp_path / "1.png").touch()
    (folder / "1.png").touch()
    (folder / "images" / "1.png").touch()
    (folder / "images" / "inner.png").symlink_to("../1.png")
    (folder / "images" / "outer.png").symlink_to(tmp_path / "1.png")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / "loop.png").symlink_to("../data2/loop.png")
    (tmp_path / "data2").mkdir()
    (tmp_path / "data2" / "loop.png").symlink_to("../data/loop.png")
    (tmp_path / "link").symlink_to(folder)
    return folder


@pytest.mark.parametrize("path", INSIDE)
def test_a_path_inside_of_the_data_root_is_taken(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"reference": {"path": path}}
    assert reference_of(row, str(root), "row 1") == root / path
    assert reference_of({"reference": {"path": str(root / path)}}, str(root), "row 1") == root / path
    # The root itself may be reached by a link.
    assert reference_of(row, str(root.parent / "link"), "row 1") == root.parent / "link" / path
    monkeypatch.chdir(root)
    assert reference_of(row, None, "row 1") == Path(path)


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_of_the_data_root_is_refused_unless_allowed(root: Path, path: str) -> None:
    row = {"reference": {"path": path}}
    with pytest.raises(ConfigError, match=r"row 1: .*outside of the folder .*allow_outside_data_root=true"):
        reference_of(row, str(root), "row 1")
    assert reference_of(row, str(root), "row 1", allow_outside=True) == root / path


def _a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _a_folder(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize("put", [os.mkfifo, _a_device, _a_folder])
def test_an_image_is_a_regular_file(tmp_path: Path, put: Callable[[Path], None]) -> None:
    put(tmp_path / "1.png")
    with pytest.raises(ReferenceUnavailable, match=r"1\.png cannot be read: (it is no regular file|Is a directory)"):
        load_image(tmp_path / "1.png")
    with pytest.raises(ConfigError, match=r"1\.png: not a readable image \((it is no regular file|Is a directory)"):
        read_image(tmp_path / "1.png")
