"""Documents that attack: without isolation each wins; in the sandbox none does, with either library and any user."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from on_svg import ON_SVG
from reports import CONFIGURATIONS, UNPROTECTED, Reports, reports_of

NAMES = [document.name for document in ON_SVG]


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[Reports]:
    yield from reports_of("svg_trainer.py", request)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_without_walls_it_wins(name, reports):
    assert any(reports.of(UNPROTECTED)["won"][name].values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_behind_walls_it_is_stopped(configuration, name, reports):
    won = reports.of(configuration)["won"][name]
    assert won in ({"librsvg": "", "cairosvg": "", "trace": ""}, {"greedy": "", "trace": ""})


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_nobody_else_notices(configuration, reports):
    report = reports.of(configuration)
    assert report["calm"] == report["among"] == report["after"]
    assert len(set(report["calm"])) >= 12
    assert report["server_lives"]
    assert report["strays"] == report["files"] == []
