from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_writes_its_figures_and_both_ways_draw_the_same_pixels(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "render.py"), "--tables", "2", "--json", str(figures)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)})
    written = json.loads(figures.read_text())
    assert written["tables"] == written["identical"] == 2
    assert [(sample["rows"], sample["columns"]) for sample in written["samples"]] == [(3, 3), (60, 12)]
    assert written["median_ratio"] > 1
    assert written["cold_peak_mb"] > 100
    assert written["warm_peak_mb"] > 100
    assert list(tmp_path.iterdir()) == [figures]
