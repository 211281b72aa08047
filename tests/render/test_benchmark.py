from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.mark.long
def test_the_gallery_tells_what_only_plain_python_draws(tmp_path: Path) -> None:
    scripts, out = tmp_path / "scripts", tmp_path / "out.jsonl"
    scripts.mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "outside.png")
    draw = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    (scripts / "helper.py").write_text("import matplotlib.pyplot as plt\ndef draw(): plt.plot([1, 3])\n")
    (scripts / "same.py").write_text("import helper\nhelper.draw()\nhelper.plt.show()\n")
    (scripts / "process.py").write_text(f"import subprocess\nsubprocess.run(['true'], check=True)\n{draw}")
    (scripts / "outside.py").write_text(f"{draw}plt.imshow(plt.imread({str(tmp_path / 'outside.png')!r}))\nplt.show()")
    command = [sys.executable, str(ROOT / "benchmarks" / "gallery.py"), str(scripts), "--out", str(out)]
    for _ in range(2):
        run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert run.returncode == 1, run.stderr
        found = {line["script"]: line["verdict"] for line in map(json.loads, out.read_text().splitlines())}
        assert found == {
            "helper.py": "only the sandbox", "same.py": "same", "process.py": "excused", "outside.py": "not drawn"
        }  # fmt: skip
    assert "4 scripts, 4 of them in" in run.stdout


@pytest.mark.long
@pytest.mark.parametrize(("second", "code"), [('<rect width="5" height="9" fill="#fff"/>', 0), ("<g></b>", 1)])
def test_icons_that_are_not_drawn_are_told(second: str, code: int, tmp_path: Path) -> None:
    for name, content in (("a", '<circle cx="4" cy="4" r="3" fill="currentColor"/>'), ("b", second)):
        (tmp_path / f"{name}.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{content}</svg>')
    command = [sys.executable, str(ROOT / "benchmarks" / "icons.py"), str(tmp_path)]
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert run.returncode == code, run.stdout
    assert ("b.svg: " in run.stdout.replace("\n", "")) == bool(code)
