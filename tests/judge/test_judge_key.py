"""Where a judge's key comes from, and what is no key."""

import pytest
from remote_judge import settings

from visual_erm.errors import ConfigError
from visual_erm.judge.remote import RemoteJudge


def judge(*endpoints: str, **changes) -> RemoteJudge:
    return RemoteJudge(settings(*endpoints, **changes))


def test_the_key_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text(" sk-from-a-file\n")
    asked = judge("http://127.0.0.1:9/v1", api_key_file=str(tmp_path / "key"))
    assert asked._chat._key == "sk-from-a-file"
    with pytest.raises(ConfigError, match=r"judge\.api_key_file: .*gone cannot be read: No such file"):
        judge("http://127.0.0.1:9/v1", api_key_file=str(tmp_path / "gone"))


@pytest.mark.parametrize("content", ["", "\n", "\ufeff \r\n"])
def test_a_key_file_without_a_key_is_refused_and_an_empty_variable_is_none(tmp_path, monkeypatch, content):
    (tmp_path / "key").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="key is empty"):
        judge("http://127.0.0.1:9/v1", api_key_file=str(tmp_path / "key"))
    monkeypatch.setenv("VISUAL_ERM_API_KEY", content.replace("\ufeff", ""))
    assert judge("http://127.0.0.1:9/v1")._chat._key == ""


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n\n", "\t"])
def test_line_ends_are_no_part_of_a_key_in_a_variable_or_a_file(tmp_path, monkeypatch, end):
    (tmp_path / "key").write_bytes(f"sk-made-up{end}".encode())
    monkeypatch.setenv("VISUAL_ERM_API_KEY", f"sk-made-up{end}")
    for changes in ({}, {"api_key_file": str(tmp_path / "key")}):
        assert judge("http://127.0.0.1:9/v1", **changes)._chat._key == "sk-made-up"


@pytest.mark.parametrize("key", ["sk-sécret", "sk-secret\nsecond", "sk-\x00secret"])
def test_a_key_that_no_header_takes_is_refused_without_being_shown(tmp_path, monkeypatch, key):
    (tmp_path / "key").write_text(key)
    with pytest.raises(ConfigError, match=r"judge\.api_key_file: .*HTTP header") as refused:
        judge("http://127.0.0.1:9/v1", api_key_file=str(tmp_path / "key"))
    assert "cret" not in str(refused.value)
    if "\x00" not in key:
        monkeypatch.setenv("VISUAL_ERM_API_KEY", key)
        with pytest.raises(ConfigError, match="VISUAL_ERM_API_KEY holds characters"):
            judge("http://127.0.0.1:9/v1")
