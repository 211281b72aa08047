"""The documentation: the site builds without a warning, and every command in it is run here or by a named test."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import visual_erm
from reward_func.visual_equivalence import close, compute_score
from visual_erm import errors
from visual_erm.reward.outcome import Outcome

ROOT = Path(__file__).parents[1]
BIN = shlex.quote(str(Path(sys.executable).parent))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
PROGRAM = re.compile(
    r"(?:\.venv/bin/)?(visual-erm|python|bash|make|mkdocs|sbatch|touch)\b|(?:[A-Z_]+=\S+ )+(?:bash|sbatch)"
)

RUN_BY = {
    r"make demo": "tests/e2e/test_make_demo.py:make",
    r"make (setup|quick|test)": ".ci/run:make test",
    r".*draw_readme_image\.py": "tests/test_readme.py:draw_readme_image",
    r"python data_prep/tables\.py": "tests/data_prep/test_tables.py:documented",
    r"python data_prep/charts\.py": "tests/data_prep/test_charts.py:documented",
    r"python data_prep/svgs\.py": "tests/data_prep/test_svgs.py:documented",
    r"python benchmarks/render\.py": "tests/render/test_benchmark.py:render.py",
    r"python benchmarks/perception\.py": "tests/vision/test_any_image.py:perception.py",
    r"python benchmarks/scales\.py": "tests/reward/test_scales.py:scales.py",
    r"python benchmarks/odd_pictures\.py": "tests/vision/test_odd_pictures.py:odd_pictures.py",
    r"python benchmarks/reward_step\.py": "tests/test_reward_step.py:reward_step.py",
    r"python benchmarks/bench\.py": "tests/bench/test_bench.py:bench.py",
    r"python -m visual_erm\.train task=mixed": "tests/test_train.py:task=mixed",
    r"python -m visual_erm\.train": "tests/test_train.py:visual_erm.train",
    r".*visual-erm preflight": "tests/preflight/test_preflight.py:preflight",
    r"bash rl_scripts/run_tiny_cpu\.sh": "visual_erm/demo/run.py:run_tiny_cpu.sh",
    r"(TRAIN_FILES.*)?bash rl_scripts/run_": "tests/launch/test_launch.py:rl_scripts",
    r"(TRAIN_FILES|MODEL).*sbatch": "tests/e2e/test_slurm.py:sbatch",
    r"touch RUN_DIR/stop": "tests/e2e/test_slurm.py:stop",
    r"visual-erm refine": "tests/refine/test_refine_command.py:refine",
    r"visual-erm bench": "tests/bench/test_bench.py:bench",
    r"visual-erm eval best": "tests/evaluate/test_best_of_n.py:best",
    r"visual-erm eval": "tests/evaluate/test_eval_command.py:eval",
    r"visual-erm rescore": "tests/evaluate/test_rescore_command.py:rescore",
    r"visual-erm serve": "tests/serve/test_serve.py:serve",
    r"visual-erm prompts import": "tests/spec/test_prompt_import.py:import",
    r".* RUN_DIR/rollout_log/": "tests/test_docs.py:rollouts_that_were_not_scored",
}
"""Beginning of a command -> the file that runs it, and a word of that file. `docs/new_task.md` has a test of its own."""


def commands(page: Path) -> list[str]:
    """The commands in a page's shell blocks, continued lines joined."""
    blocks = re.findall(r"^ *```(?:bash|sh)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", "".join(blocks)).splitlines()
    return [line.strip() for line in lines if line.strip()]


def run_by(command: str) -> str | None:
    return next((where for beginning, where in RUN_BY.items() if re.match(beginning, command)), None)


ALL = sorted({command for page in PAGES for command in commands(page)})
HERE = [command for command in ALL if run_by(command) is None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_of_a_shell_block_is_a_command(page: Path) -> None:
    assert [command for command in commands(page) if not PROGRAM.match(command)] == []


@pytest.mark.parametrize("where", sorted(set(RUN_BY.values())))
def test_long_commands_are_run_elsewhere(where: str) -> None:
    file, word = where.split(":")
    assert word in (ROOT / file).read_text(encoding="utf-8")


def test_every_rule_still_has_a_command() -> None:
    used = {run_by(command) for command in ALL}
    assert set(RUN_BY.values()) - used == set()


@pytest.mark.long
def test_short_commands_run(tmp_path: Path) -> None:
    assert len(HERE) >= 6
    for command in sorted(HERE, key=lambda command: " render " not in command):
        text = command.replace(".venv/bin/", f"{BIN}/").replace("outputs/", f"{tmp_path}/")
        done = subprocess.run(["bash", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert "load_task" in (tmp_path / "site" / "api.html").read_text(encoding="utf-8")


def test_the_site_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    assert re.search(r"^  font: false$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    linked = [
        target for page in PAGES for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert linked
    assert not [target for target in linked if target.startswith("http")]


def test_files_named_in_the_pages_exist() -> None:
    named = r"`((?:visual_erm|reward_func|data_prep|configs|benchmarks|tests|rl_scripts|slurm|docs)/[\w./-]+)`"
    for page in PAGES:
        for path in re.findall(named, page.read_text(encoding="utf-8")):
            assert "NAME" in path or (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize(
    "page", [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"], ids=lambda page: page.name
)
def test_links_of_pages_outside_the_site_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_every_error_is_in_the_table_of_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    source = (ROOT / "visual_erm" / "errors.py").read_text(encoding="utf-8")
    for name in re.findall(r"^class (\w+)\(", source, re.M):
        assert f"`{name}`" in text or name == "VisualERMError", name


def test_every_outcome_is_in_the_table_of_troubleshooting() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = re.search(r"^\| `outcome` \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    assert table
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
    assert [row[0].strip("`") for row in rows] == [outcome.value for outcome in Outcome]
    for name, happened, reward, what_to_do in rows:
        assert happened.endswith("."), name
        assert what_to_do.endswith("."), name
        assert reward in ("the rollout's own", "minimum", "neutral"), name


def test_the_outcomes_of_the_table_have_the_reward_that_it_says() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (minimum|neutral) \|", text, re.M))
    for error in (*subclasses(errors.PolicyFault), *subclasses(errors.InfrastructureError)):
        if error is not errors.TooManyFailures:
            policy_at_fault = issubclass(error, errors.PolicyFault)
            assert said[Outcome.of(error("why")).value] == ("minimum" if policy_at_fault else "neutral"), error


def subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, base)]


async def test_the_command_of_troubleshooting_lists_the_rollouts_that_were_not_scored(tmp_path: Path) -> None:
    log = tmp_path / "rollout_log"
    reply = (ROOT / "examples" / "table" / "reply.txt").read_text(encoding="utf-8")
    try:
        for index, text in enumerate((reply, "I do not know.")):
            reference = {"path": str(ROOT / "examples" / "table" / "reference.png")}
            row = {"index": index, "split": "train", "global_steps": 4, "reference": reference}
            await compute_score("table", text, None, row, task="table", judge="local", rollout_log=str(log))
    finally:
        await close()
    (file,) = log.glob("*.jsonl")
    assert file.name == f"{socket.gethostname()}-{os.getpid()}.jsonl"
    (command,) = [command for command in ALL if "RUN_DIR/rollout_log/" in command]
    text = command.replace(".venv/bin/", f"{BIN}/").replace("RUN_DIR", str(tmp_path))
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["4 1 no_code NoCodeError: the reply holds no code in html or markdown"]


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^\*\*([^*]+)\*\*: ", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.M)
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.lower)


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {visual_erm.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_gpu_hours_of_the_reproduction_are_as_their_arithmetic() -> None:
    text = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| ([\d,]+) \| (\d+) \| (\d+) x ([\d.]+) = ([\d.]+) \| ([\d,]+) \|", text)
    assert len(rows) == 5
    for prompts, steps, again, hours, total, gpu_hours in rows:
        assert steps == again
        assert int(steps) == round(int(prompts.replace(",", "")) / 256)
        assert float(total) == round(int(steps) * float(hours), 1)
        assert int(gpu_hours.replace(",", "")) == round(int(steps) * float(hours) * 32)


ADDED = re.findall(r"^\| .+ \| `(\S[^`]*=[^`]*)` \|$", (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8"), re.M)


@pytest.mark.verl
@pytest.mark.parametrize("words", ["", *ADDED])
def test_each_row_of_the_comparison_is_a_valid_recipe(words: str, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.parquet").touch()
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "DRY_RUN": "1",
        "TRAIN_FILES": str(tmp_path / "train.parquet"),
        "VAL_FILES": str(tmp_path / "test.parquet"),
        "JUDGE_URLS": "http://HOST:8000/v1",
        "NNODES": "4",
        "NODE_RANK": "0",
        "MASTER_ADDR": "HOST",
    }
    command = ["bash", "rl_scripts/run_qwen3vl_table_40k_rm_32gpus.sh", *words.split()]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(word in done.stdout for word in words.split())


def test_the_comparison_names_four_variants() -> None:
    assert len(ADDED) == 4
