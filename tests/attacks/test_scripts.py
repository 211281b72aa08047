"""Scripts that attack: without isolation each wins; in the sandbox none does, whoever runs the trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from every import EVERY
from reports import CONFIGURATIONS, UNPROTECTED, Reports, reports_of

pytestmark = pytest.mark.long
WORKERS = 3
"""Of each of a trainer's two sandboxes."""
NAME_SPACE = "becomes_root_of_its_own_name_space"
"""Many containers forbid it to everybody."""
ATTACKS = [pytest.param(attack, id=attack.name) for attack in EVERY]


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[Reports]:
    yield from reports_of("trainer.py", request)


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_walls_it_wins(attack, reports):
    fate = reports.of(UNPROTECTED)["fates"][attack.name]
    forbidden = "PermissionError" in fate["reason"] and (os.geteuid() != 0 or attack.name == NAME_SPACE)
    if not fate["won"] and ("Function not implemented" in fate["reason"] or forbidden):
        pytest.skip(f"nobody on this machine can: {fate['reason']}")
    assert fate["won"], fate


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_behind_walls_it_is_stopped(configuration, attack, reports):
    fate = reports.of(configuration)["fates"][attack.name]
    assert not fate["won"], fate
    assert fate["fault"] == attack.ends or not attack.ends, fate


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_who_speaks_the_whole_protocol_wins_no_more_than_a_image_of_its_choice(configuration, reports):
    assert reports.of(configuration)["chosen"] == "chosen"


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
class TestWhatItCostsOthers:
    def test_honest_scripts_are_drawn_alike_before_among_and_after_all_attacks(self, configuration, reports):
        report = reports.of(configuration)
        assert all(image.startswith("(300, 200)") for image in report["calm"])
        assert report["calm"] == report["among"] == report["after"]
        assert len(set(report["calm"])) == len(report["calm"]) > 5

    def test_the_server_lives_through_all_of_them(self, configuration, reports):
        assert reports.of(configuration)["server_lives"]

    def test_no_process_and_no_file_is_left(self, configuration, reports):
        report = reports.of(configuration)
        assert report["strays"] == report["files"] == []
        assert len(report["folders"]) <= 2 * WORKERS
