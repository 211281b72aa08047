"""The whole of `visual-erm bench` over pairs with known differences, killed at random moments and resumed.

    python benchmarks/bench_kills.py --pairs 300 --kills 10

`run`, `match`, `score` and `report` go once without a kill. Then they go again: at each of the random moments the command
that runs gets SIGKILL, and is started again. It ends with an error if any file differs between the two, but for times.
The local judge and the offline matcher are used, unless YAML files of servers are given.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "bench"))
from pairs import KINDS, PREDICTIONS, write_pairs  # noqa: E402

IN_RUN = 0.8
"""Share of the kills that fall into `run`, which takes the longest; the others fall into `match` and later."""
LONGEST_DELAY_S = 0.3
"""A kill comes so many seconds at most after its result, so that it also hits what happens between two results."""
LOOK_S = 0.02
"""Seconds between two looks at the files."""
TIMES = ("seconds",)
"""Keys of a result that no two runs share."""


@dataclass
class Chain:
    """The four commands over one file of pairs, and the folder that they write to."""

    rows: Path
    folder: Path
    run_options: list[str] = field(default_factory=list)
    match_options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.answers, self.matches = self.folder / "answers.jsonl", self.folder / "matches.jsonl"
        self.scores, self.report = self.folder / "scores.json", self.folder / "report"

    def commands(self) -> list[list[str]]:
        words: list[list[Any]] = [
            ["run", self.rows, "--out", self.answers, *self.run_options],
            ["match", self.answers, "--out", self.matches, *self.match_options],
            ["score", self.matches, "--json", self.scores],
            ["report", self.matches, "--root", self.rows.parent, "--out", self.report],
        ]
        return [[sys.executable, "-m", "visual_erm.cli", "bench", *map(str, one)] for one in words]

    def done(self) -> int:
        """Results in both files."""
        return sum(path.read_bytes().count(b"\n") for path in (self.answers, self.matches) if path.exists())

    def go(self, moments: list[int], draw: random.Random) -> int:
        """Runs all commands, and kills the one that runs as soon as there are so many results. Returns the kills."""
        kills, moments = 0, sorted(moments)
        commands = self.commands()
        while commands:
            process = self._start(commands[0])
            while process.poll() is None and not (moments and self.done() >= moments[0]):
                time.sleep(LOOK_S)
            if process.poll() is None:
                time.sleep(draw.uniform(0, LONGEST_DELAY_S))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                moments.pop(0)
            process.wait()
            if process.returncode == 0:
                # The last command goes on being killed until all kills are made.
                commands = commands[1:] or (commands if moments else [])
            elif process.returncode != -signal.SIGKILL:
                sys.exit(f"exit code {process.returncode}: {' '.join(commands[0])}\n{self.said}")
        return kills

    @property
    def said(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=environ, stdout=output, stderr=output, start_new_session=True
            )

    def results(self) -> dict[str, Any]:
        """By file: what it says, but for times and the order of lines."""
        found: dict[str, Any] = {}
        for path in (self.answers, self.matches):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = {
                line["id"]: {key: value for key, value in line.items() if key not in TIMES} for line in lines
            }
            if len(found[path.name]) < len(lines):
                sys.exit(f"{path}: has several lines of one pair")
        found[self.scores.name] = json.loads(self.scores.read_text())
        return {**found, **{path.name: path.read_text() for path in sorted(self.report.iterdir())}}


def differing(calm: dict[str, Any], killed: dict[str, Any]) -> list[str]:
    """Names of the files that differ."""
    return [name for name in sorted({*calm, *killed}) if calm.get(name) != killed.get(name)]


def main(
    pairs: Annotated[int, typer.Option(help="Pairs of images.", min=1)] = 300,
    kills: Annotated[int, typer.Option(help="Random moments at which the command that runs is killed.", min=0)] = 10,
    seed: Annotated[int, typer.Option(help="Of the pairs and of the moments.")] = 0,
    judge: Annotated[str, typer.Option(help="As for `visual-erm bench run`.")] = "local",
    matcher: Annotated[str, typer.Option(help="As for `visual-erm bench match`.")] = "offline",
    task: Annotated[list[str] | None, typer.Option(help="As for `visual-erm bench run`.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Run the bench twice, once with kills, and compare."""
    with tempfile.TemporaryDirectory(prefix="verm-bench-") as name:
        folder = Path(name)
        rows = write_pairs(folder, -(-pairs // (PREDICTIONS * len(KINDS))), seed)
        lines = rows.read_text().splitlines(keepends=True)
        random.Random(seed).shuffle(lines)
        rows.write_text("".join(lines[:pairs]))
        run_options = ["--judge", judge, *(word for one in task or () for word in ("--task", one))]
        both = [Chain(rows, folder / way, run_options, ["--matcher", matcher]) for way in ("calm", "killed")]
        draw = random.Random(f"kills {seed}")
        in_run = round(IN_RUN * kills)
        moments = [draw.randrange(pairs) for _ in range(in_run)] + [
            pairs + draw.randrange(pairs) for _ in range(kills - in_run)
        ]
        figures: dict[str, Any] = {"pairs": pairs, "kills": []}
        for chain, some in zip(both, ([], moments), strict=True):
            begun = time.monotonic()
            figures["kills"].append(chain.go(some, draw))
            figures.setdefault("seconds", []).append(round(time.monotonic() - begun, 1))
        calm, killed = (chain.results() for chain in both)
    found = differing(calm, killed)
    figures |= {"differing": found, "score": calm["scores.json"]["groups"]["all"]["figures"]}
    print(json.dumps(figures, indent=2))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    if found:
        sys.exit(f"differ after {kills} kills: {', '.join(found)}")


if __name__ == "__main__":
    typer.run(main)
