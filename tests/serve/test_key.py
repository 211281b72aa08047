"""Who may use the servers of `visual-erm serve`: only this machine, or whoever has the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from visual_erm.errors import ConfigError
from visual_erm.launch.recipe import variables
from visual_erm.serve.key import is_loopback, server_key
from visual_erm.serve.plan import ServeOptions
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.servers import api_key


def test_servers_listen_on_this_machine_alone_unless_told_otherwise() -> None:
    assert is_loopback(ServeOptions().host)


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("node7", False)],
)  # fmt: skip
def test_a_loopback_address_is_known(host: str, alone: bool) -> None:
    assert is_loopback(host) is alone


def test_no_key_is_made_where_only_this_machine_listens() -> None:
    assert server_key("127.0.0.1", None, {}) == ""


def test_a_key_is_made_once_and_judges_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "shared" / "api_key"
    key = server_key("0.0.0.0", file, {})
    assert len(key) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert server_key("0.0.0.0", file, {}) == key, "a second machine, or a second start, has the same key"
    assert [path.name for path in file.parent.iterdir()] == ["api_key"]
    judge = {"kind": "remote", "endpoints": ["http://a:8000/v1"], "api_key_file": str(file)}
    assert api_key(load_judge_settings(judge)) == key


def test_a_key_of_the_environment_is_used_and_not_written(tmp_path: Path) -> None:
    assert server_key("0.0.0.0", tmp_path / "api_key", {"VISUAL_ERM_API_KEY": "mine"}) == "mine"
    assert server_key("127.0.0.1", None, {"VLLM_API_KEY": "mine"}) == "mine"
    assert not [*tmp_path.iterdir()]


def test_other_machines_are_not_let_in_without_a_key() -> None:
    with pytest.raises(ConfigError, match="--key-file"):
        server_key("0.0.0.0", None, {})


@pytest.mark.parametrize(("content", "mode", "complaint"), [("", 0o600, "empty"), ("key", 0o644, "chmod 600")])
def test_a_key_file_that_is_no_secret_is_refused(tmp_path: Path, content: str, mode: int, complaint: str) -> None:
    file = tmp_path / "api_key"
    file.write_text(content)
    os.chmod(file, mode)
    with pytest.raises(ConfigError, match=complaint):
        server_key("0.0.0.0", file, {})


def test_a_launcher_hands_the_key_file_to_the_judge() -> None:
    words = variables({"ENDPOINTS_FILE": "shared", "API_KEY_FILE": "shared/api_key"})
    assert words == ["judge=remote", "judge.endpoints_file=shared", "judge.api_key_file=shared/api_key"]
    assert not any("api_key" in word for word in variables({"REWARD_MODEL": "m", "API_KEY_FILE": "k"}))
