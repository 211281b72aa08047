from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_the_benchmark_writes_its_figures_and_all_ways_draw_the_same_pixels(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    few = ["--tables", "2", "--charts", "2", "--svgs", "3"]
    command = [sys.executable, str(ROOT / "benchmarks" / "render.py"), *few, "--json", str(figures)]
    # Chromium's sockets lie in it, and a socket's path may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as temporary:
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": temporary})
        assert list(Path(temporary).iterdir()) == []
    written = json.loads(figures.read_text())

    table = written["table"]
    assert table["tables"] == table["identical"] == 2
    assert [(sample["rows"], sample["columns"]) for sample in table["samples"]] == [(3, 3), (60, 12)]
    assert table["median_ratio"] > 1
    assert table["cold_peak_mb"] > 100
    assert table["warm_peak_mb"] > 100

    chart = written["chart"]
    assert chart["charts"] == chart["identical"] == 2
    assert chart["median_ratio"] > 1
    assert chart["charts_per_s"] > 0
    assert chart["median_overhead_ms"] < chart["median_cold_ms"]

    svg = written["svg"]
    assert svg["svgs"] == svg["identical"] == 3
    assert min(svg["median_librsvg_ratio"], svg["median_cairosvg_ratio"]) > 5
    assert list(tmp_path.iterdir()) == [figures]
