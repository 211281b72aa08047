"""The file or folder that names a judge's endpoints: who may write it, and what may be in it."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visual_erm.errors import ConfigError
from visual_erm.judge.endpoint_pool import read_endpoints


@pytest.mark.parametrize("mode", [0o777, 0o772])
def test_a_file_in_a_folder_that_others_can_write_is_refused(tmp_path, mode):
    file = tmp_path / "endpoints.txt"
    file.write_text("http://10.0.0.1:8000/v1")
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError, match=f"run `chmod go-w {tmp_path}`"):
        read_endpoints(file)
    # Nobody replaces the files of others in a folder like /tmp.
    tmp_path.chmod(0o1777)
    assert read_endpoints(file) == ("http://10.0.0.1:8000/v1",)
    tmp_path.chmod(0o755)
    linked = tmp_path / "link.txt"
    linked.symlink_to(file)
    assert read_endpoints(linked) == ("http://10.0.0.1:8000/v1",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("given_away", ["folder", "file"])
def test_a_file_or_folder_of_another_user_is_refused(tmp_path, given_away):
    (tmp_path / "n1.txt").write_text("http://10.0.0.1:8000/v1")
    os.chown(tmp_path if given_away == "folder" else tmp_path / "n1.txt", 65534, -1)
    for named in (tmp_path, tmp_path / "n1.txt"):
        with pytest.raises(ConfigError, match="another user owns it"):
            read_endpoints(named)


def _without_end(file: Path) -> None:
    file.touch()
    os.truncate(file, 1 << 40)


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (os.mkfifo, "no regular file"),
        (_without_end, "more than 1048576 bytes"),
        (lambda file: file.symlink_to("/dev/zero"), "others than its owner can write"),
    ],
)
def test_endpoints_are_read_from_regular_files_of_limited_size(tmp_path, put, message):
    file = tmp_path / "endpoints.txt"
    put(file)
    for named in (file, tmp_path):
        with pytest.raises(ConfigError, match=message):
            read_endpoints(named)


def test_a_folder_of_endpoints_holds_files_and_whatever_else(tmp_path):
    (tmp_path / "a.txt").write_text("http://a:1/v1\n")
    (tmp_path / "dir.txt").mkdir()
    (tmp_path / "loop.txt").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    assert read_endpoints(tmp_path) == ("http://a:1/v1",)


@pytest.mark.parametrize(
    "url", ["http://[::1/v1", "http://a\x7fb/v1", "http://a:99999/v1", "http://:80/v1", "http://a:b/v1"]
)
def test_what_no_client_takes_is_no_url(tmp_path, url):
    (tmp_path / "endpoints.txt").write_text(f"{url}\n")
    with pytest.raises(ConfigError, match="is no URL"):
        read_endpoints(tmp_path / "endpoints.txt")


def test_a_line_that_is_no_url_is_named(tmp_path):
    (tmp_path / "endpoints.txt").write_text("http://a:1/v1\n\nb:2/v1\n")
    with pytest.raises(ConfigError, match=r"endpoints\.txt, line 3: `b:2/v1` is no URL"):
        read_endpoints(tmp_path / "endpoints.txt")


@given(st.binary(max_size=200))
def test_any_bytes_are_endpoints_or_an_error_of_the_file(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "any.txt"
    file.write_bytes(data)
    try:
        urls = read_endpoints(file)
    except ConfigError as error:
        assert "any.txt" in str(error)
    else:
        assert all(urlsplit(url).hostname for url in urls) and len(set(urls)) == len(urls)
