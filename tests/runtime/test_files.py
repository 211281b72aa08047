"""A file that is replaced has its old content or its new one, and nothing is left beside it."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from visual_erm.runtime.files import (
    open_regular,
    read_regular,
    remove_stale_parts,
    replacing,
    writable_by_others,
    write_atomic,
)


@pytest.mark.parametrize("data", ["Größe\n", b"\x89PNG\r\n"])
def test_a_file_holds_what_was_written_and_its_folder_nothing_else(tmp_path: Path, data: str | bytes) -> None:
    file = tmp_path / "new" / "folder" / "file"
    for content in ("before", data):
        write_atomic(file, content)
    assert file.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert [*file.parent.iterdir()] == [file]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(file) as part:
        part.write_text("half of the ne")
        assert file.read_text() == "old"
        raise ZeroDivisionError
    assert file.read_text() == "old" and [*tmp_path.iterdir()] == [file]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    with replacing(tmp_path / "token", mode=0o600) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_text("secret")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_many_writers_of_one_file_leave_the_content_of_one_of_them(tmp_path: Path) -> None:
    file = tmp_path / "file"
    contents = [str(number) * 10_000 for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda content: write_atomic(file, content), contents * 10))
    assert file.read_text() in contents and [*tmp_path.iterdir()] == [file]


def test_a_part_is_not_taken_for_a_file_of_the_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "node.txt"):
        assert not [*tmp_path.glob("*.txt")]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("é" * 127), "content")
    assert (tmp_path / ("é" * 127)).read_text() == "content"


def test_parts_of_killed_writers_are_removed_and_those_in_use_are_not(tmp_path: Path) -> None:
    stale, fresh, other = (
        tmp_path / name for name in (".image.png.0a0a0a0a.part", ".image.png.0b0b0b0b.part", "image.part")
    )
    for file in (stale, fresh, other):
        file.touch()
    for file in (stale, other):
        os.utime(file, (0, 0))
    remove_stale_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == [fresh, other]
    remove_stale_parts(tmp_path / "missing")


@pytest.mark.parametrize("size", [0, 9, 10])
def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    (tmp_path / "link").symlink_to("file")
    for path in (tmp_path / "file", tmp_path / "link"):
        assert read_regular(path, 10) == b"x" * size
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_regular(tmp_path / "file", 10)


def test_what_is_no_regular_file_is_refused_at_once_and_left_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), Path("/dev/null"), tmp_path / "gone"):
        with pytest.raises(OSError, match=r"regular|directory|No such"), open_regular(path):
            pass
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    ("mode", "is_folder", "expected"),
    [
        (0o644, False, False),
        (0o664, False, True),
        (0o646, False, True),
        (0o1666, False, True),
        (0o700, True, False),
        (0o755, True, False),
        (0o775, True, True),
        (0o757, True, True),
        (0o1777, True, False),
    ],
)
def test_what_others_can_write_is_told(tmp_path: Path, mode: int, is_folder: bool, expected: bool) -> None:
    path = tmp_path / "it"
    path.mkdir() if is_folder else path.touch()
    path.chmod(mode)
    assert writable_by_others(path) is expected
