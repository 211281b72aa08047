"""Prometheus reads the numbers of a judge from this machine, and from elsewhere only where the settings say so."""

import urllib.request

import psutil
import pytest
from ports import free_port

from visual_erm.cli import serve
from visual_erm.errors import ConfigError
from visual_erm.judge.usage import JudgeStats, publish
from visual_erm.serve.plan import ServeOptions
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.spec.judge import JudgeSettings, load_judge_settings


def addresses_at(port: int) -> set[str]:
    return {
        connection.laddr.ip
        for connection in psutil.Process().net_connections("inet")
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize(
    "judge", [{"kind": "local"}, {"kind": "colocated"}, {"kind": "remote", "endpoints": ["http://10.0.0.1:8000/v1"]}]
)
def test_by_default_only_this_machine_reads_the_numbers(judge) -> None:
    port = free_port()
    publish(JudgeStats(), port, JudgeSettings.model_validate(judge).metrics_host)
    assert addresses_at(port) == {"127.0.0.1"}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        assert b"visual_erm_judge_judgements_total 0.0" in page.read()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "127.0.0.2"])
def test_the_settings_say_who_reads_them(host) -> None:
    settings = load_judge_settings({"kind": "remote", "endpoints": ["http://a/v1"], "metrics_host": host})
    port = free_port()
    publish(JudgeStats(), port, settings.metrics_host)
    assert addresses_at(port) == {host}


def test_an_address_of_another_machine_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"free at 192\.0\.2\.1; .*judge\.metrics_host"):
        publish(JudgeStats(), free_port(), "192.0.2.1")


def test_servers_and_shipped_settings_keep_to_this_machine() -> None:
    assert ServeOptions().host == "127.0.0.1"
    assert serve.__defaults__ is not None and "127.0.0.1" in serve.__defaults__ and "0.0.0.0" not in serve.__defaults__
    assert read_yaml(shipped("configs") / "judge" / "remote.yaml")["metrics_host"] == "127.0.0.1"
