"""Text files that people write are decoded by what they say of themselves, and refused rather than read wrongly."""

import codecs
from pathlib import Path

import pytest

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import files_below
from visual_erm.spec.text import read_text

TEXT = "Größe 表\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_a_mark_says_the_encoding_and_is_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert read_text(tmp_path / "x") == TEXT


@pytest.mark.parametrize("encoding", ["iso-8859-1", "Shift_JIS", "gb2312", "UTF-8"])
def test_an_xml_declaration_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    letters = {"iso-8859-1": "Größe", "UTF-8": "Größe 表"}.get(encoding, "表")
    text = f"<?xml version='1.0' encoding='{encoding}'?><svg>{letters}</svg>"
    (tmp_path / "x.svg").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "x.svg") == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Größe".encode("latin-1"), r"x\.txt: byte 2 is not utf-8; save the file as UTF-8"),
        ("Größe".encode("utf-16-le"), r"x\.txt: byte 4 is not utf-8"),
        (b'<?xml version="1.0" encoding="klingon"?>', r"x\.txt: its encoding klingon is unknown"),
        (None, r"x\.txt: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_decoded_is_refused_by_name(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "x.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_text(file)


def test_files_behind_links_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for file in ("data/a", "data/inner/b", "elsewhere/c"):
        (tmp_path / file).touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "lost").symlink_to(tmp_path / "nowhere")
    assert [path.name for path in files_below(tmp_path / "data")] == ["a", "b", "c"]
