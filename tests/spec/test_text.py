"""Text files that people write are decoded by what they say of themselves, and refused rather than read wrongly."""

import codecs
import json
from pathlib import Path

import pytest

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import files_below
from visual_erm.spec.text import decode_text, json_of_line, jsonl_lines, read_text

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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_mark_of_a_jsonl_file_says_its_encoding(tmp_path: Path, encoding: str) -> None:
    rows = [{"html": "é 表 \u2028"}, {"html": "\u0a0a\u0a00"}, {"html": ""}]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding=encoding, newline="\n")
    assert [json_of_line(line) for line in jsonl_lines(file)] == rows


def test_lines_of_jsonl_that_are_not_utf_8_are_named_and_the_others_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes('{"a": 1}\n{"a": "é"}\n'.encode("latin-1") + b'{"a": 2}')
    first, second, third = jsonl_lines(file)
    assert (json_of_line(first), json_of_line(third)) == ({"a": 1}, {"a": 2})
    with pytest.raises(ValueError, match="byte 7 is not utf-8; save the file as UTF-8"):
        json_of_line(second)


def test_a_jsonl_file_that_is_cut_off_in_a_character_or_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes('{"a": 1}\n'.encode("utf-16")[:-1])
    for wrong, message in ((file, "is not utf-16"), (tmp_path / "nowhere.jsonl", "cannot be read: No such file")):
        with pytest.raises(ConfigError, match=message):
            list(jsonl_lines(wrong))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_what_is_piped_in_is_decoded_like_a_file(encoding: str) -> None:
    assert decode_text(TEXT.encode(encoding), "standard input") == TEXT
    with pytest.raises(ConfigError, match=r"standard input: byte 2 is not utf-8"):
        decode_text(TEXT.encode("latin-1", "replace"), "standard input")
