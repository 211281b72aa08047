"""Score, judge and render by hand, serve the reward model, and check a machine or a training run.

This is the command `visual-erm`. Each command is one stage of the path, or all of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from visual_erm import __version__
from visual_erm.bench.commands import app as bench
from visual_erm.errors import ConfigError, InfrastructureError, VisualERMError
from visual_erm.evaluate.commands import app as evaluate
from visual_erm.evaluate.commands import rescore
from visual_erm.refine.commands import refine
from visual_erm.reward.report import Report
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.task import load_task
from visual_erm.spec.text import decode_text, read_text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Score, judge and render by hand, serve the reward model, and check a machine or a training run.",
)
prompts = typer.Typer(
    no_args_is_help=True, help="Show or change the prompts of judge models: the project's own, or the published ones."
)
app.add_typer(prompts, name="prompts")
app.add_typer(bench, name="bench")
app.command()(refine)
app.add_typer(evaluate, name="eval")
app.command()(rescore)
out = Console()
err = Console(stderr=True)

TaskName = Annotated[str, typer.Argument(help="The task: table, chart or svg, or the path of its YAML file.")]
JudgeName = Annotated[
    str,
    typer.Option(
        help="The judge: `local`, the URL of an OpenAI-compatible server, or the path of a YAML file. `visual-erm judge` "
        "also takes `transformers:FOLDER`: the model in that folder, in this process."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

USAGE = 2
"""Exit code for wrong input. 1 means that the infrastructure failed."""


def _print_version(asked: bool) -> None:
    if asked:
        print(f"visual-erm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])


@app.command()
def score(
    task: TaskName,
    reference: Annotated[Path, typer.Option(help="The reference image.")],
    response: Annotated[
        Path, typer.Option(help="File with the policy's reply, or with bare code. `-` reads standard input.")
    ],
    judge: JudgeName = "local",
    as_json: AsJson = False,
) -> None:
    """Score one reply: extract its code, render it, compare the image with the reference, and print the reward."""
    from visual_erm.pipeline import score_reply
    from visual_erm.vision.images import load_image

    loaded = load_task(task)
    settings = load_judge_settings(judge)
    image = load_image(reference)
    reply = decode_text(sys.stdin.buffer.read(), "standard input") if str(response) == "-" else read_text(response)
    if settings.kind == "local":
        _note_local_judge(as_json)
    if loaded.scoring.mode == "batch":
        err.print(f"scoring.mode=batch: one reply is no batch; s_max is the task's, {loaded.scoring.s_max:g}", style="dim")

    result = asyncio.run(score_reply(loaded, reply, image, settings))
    if as_json:
        report = result.report.wire(loaded.report) if result.report else None
        _print_json({**result.numbers(loaded.report.categories), "reason": result.reason, "report": report})
    else:
        out.print(f"[bold]reward {result.reward:g}[/]   severity {result.severity:g}   rendered {_yes(result.render_ok)}")
        if result.reason:
            out.print(result.reason, markup=False)
        if result.report:
            _print_report(result.report)
    if not result.scored_ok:
        raise typer.Exit(1)


@app.command("judge")
def judge_images(
    task: TaskName,
    reference: Annotated[Path, typer.Argument(help="The reference image.")],
    prediction: Annotated[Path, typer.Argument(help="The image to compare with it.")],
    judge: JudgeName = "local",
    as_json: AsJson = False,
) -> None:
    """Compare two images and list their discrepancies."""
    from visual_erm.bench.judges import make_any_judge
    from visual_erm.vision.images import load_image

    loaded = load_task(task)
    settings = load_judge_settings(judge)
    images = load_image(reference), load_image(prediction)
    if settings.kind == "local":
        _note_local_judge(as_json)

    async def compare() -> Report:
        asked = make_any_judge(settings)
        try:
            return await asked.judge(*images, loaded)
        finally:
            await asked.close()

    report = asyncio.run(compare())
    if as_json:
        _print_json({"severity": report.severity, "truncated": report.truncated, **report.wire(loaded.report)})
    else:
        out.print(f"severity [bold]{report.severity:g}[/], {len(report.discrepancies)} discrepancies")
        _print_report(report)


@app.command()
def render(
    task: TaskName,
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Files of code (.html, .py, .svg …), replies (.txt), folders of them, or JSONL files."),
    ],
    to: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images. Existing images are kept.")],
) -> None:
    """Render code as the reward does. Writes one PNG for each input."""
    from visual_erm.render.batch import render_many

    summary = render_many(load_task(task), inputs, to, console=err)
    raise typer.Exit(0 if summary.ok else 1)


@app.command()
def serve(
    model: Annotated[Path, typer.Argument(help="Folder of the reward model.")],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- FLAGS OF VLLM]", help="Options that are passed to vLLM.")
    ] = None,
    gpus: Annotated[
        str, typer.Option(help="GPUs to use: `auto` (all), their number, or their indices with a comma: `0,1` or `3,`.")
    ] = "auto",
    tensor_parallel: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="GPUs of one server. Default: the fewest of 1, 2, 4, 8 whose memory the weights fill to at most one half. "
            "An 8B model takes 1 GPU of 40 GB or more, 2 of 24 GB, or 4 of 16 GB. The paper used 4.",
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Number of servers. Default: as many as fit the GPUs.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. With 0.0.0.0, other machines can connect with a key.")
    ] = "127.0.0.1",
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the key; a missing key is created. Default: LOG_DIR/api_key if other machines can connect."
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the first server. The others take the next ones.")
    ] = 8000,
    advertise: Annotated[str | None, typer.Option(help="Name of this machine in the URLs. Default: its hostname.")] = None,
    name: Annotated[str, typer.Option(help="Served name of the model (`model` in configs/judge/remote.yaml).")] = (
        "visual-erm"
    ),
    max_seqs: Annotated[int, typer.Option(min=1, help="Largest number of parallel requests of one server.")] = 64,
    max_model_len: Annotated[
        int | None,
        typer.Option(min=1, help="Longest request, in tokens. Default: 16384, or the model's own limit if that is lower."),
    ] = None,
    endpoints_file: Annotated[
        Path | None,
        typer.Option(help="File for the base URLs of the healthy servers, one per line. The command keeps it current."),
    ] = None,
    log_dir: Annotated[Path, typer.Option(help="Folder for the logs: one per server, named by its port.")] = Path(
        "outputs/serve"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands, one per line, and start nothing.")
    ] = False,
) -> None:
    """Serve the reward model with vLLM on this machine's GPUs. Servers that die are restarted.

    By default, only this machine can connect to the servers; --host changes it. Then every judge needs the key. It comes
    from the environment variable VISUAL_ERM_API_KEY, or from --key-file.
    """
    from visual_erm.serve.key import given_key, is_loopback, server_key
    from visual_erm.serve.plan import ServeOptions, check_ports, look_at_machine, look_at_model, plan
    from visual_erm.serve.supervisor import KEYS, Supervisor

    given = given_key(os.environ)
    options = ServeOptions(
        gpus, tensor_parallel, replicas, host, port, advertise, name, max_seqs, max_model_len, tuple(flags or ())
    )
    servers = plan(options, look_at_model(model), look_at_machine(os.environ), os.environ)
    if dry_run:
        for server in servers:
            print(server)
        return
    check_ports(host, [server.port for server in servers])
    logging.getLogger("visual_erm.serve").setLevel(logging.INFO)
    file = key_file or (None if is_loopback(host) else log_dir / "api_key")
    key = server_key(host, file, os.environ)
    if file and not given:
        place = file.resolve()
        err.print(f"the key is in {place}; give judges judge.api_key_file={place}", markup=False, soft_wrap=True)
    environ = {name: value for name, value in os.environ.items() if name not in KEYS}
    environ |= {KEYS[0]: key} if key else {}
    asyncio.run(Supervisor(servers, name, log_dir, endpoints_file, environ).run())


@app.command()
def doctor(
    judge: Annotated[
        str, typer.Option(help="Also check this judge: `local`, a URL, or the path of a YAML file.")
    ] = "local",
    as_json: AsJson = False,
) -> None:
    """Check this machine: browser, fonts, sandbox, OCR, endpoints, package versions."""
    from visual_erm.preflight.doctor import examine

    findings = examine(load_judge_settings(judge))
    if as_json:
        _print_json([vars(finding) for finding in findings])
    else:
        table = Table("", "what", "found", box=None, pad_edge=False)
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "missing": "[red]missing[/]"}
        for finding in findings:
            table.add_row(marks[finding.state], finding.what, finding.found)
        out.print(table)
        for finding in findings:
            if finding.fix:
                out.print(f"\n[bold]{escape(finding.what)}[/]: {escape(finding.fix)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


@app.command()
def preflight(
    recipe: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE…", help="The recipe, as for `python -m visual_erm.train`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check a training run before it takes GPUs. Starts no training.

    Exit codes: 0 nothing is wrong, 2 the run must be changed, 1 a check could not be made.
    """
    from visual_erm import train
    from visual_erm.preflight.checks import exit_code
    from visual_erm.preflight.overrides import arguments, composed
    from visual_erm.preflight.report import as_json as report
    from visual_erm.preflight.report import print_report

    console = Console(file=sys.stdout, quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="verm-task-") as folder:
        words = arguments(recipe, Path(folder))
        config, problems = composed(words)
        outcomes = train.preflight(config, console, problems, words)
    if as_json:
        print(report(outcomes))
    else:
        print_report(outcomes, console)
    raise typer.Exit(exit_code(outcomes))


@prompts.command("import")
def import_prompts(
    checkout: Annotated[Path, typer.Argument(help="A checkout of InternLM/Visual-ERM, or a folder in it.")],
) -> None:
    """Use the published prompts from now on. They are read from the checkout. Nothing in it is run."""
    from visual_erm.spec.prompt_import import EVALUATION, find_evaluation, find_published
    from visual_erm.spec.prompts import described, imported_prompts, save_imported

    texts = find_published(checkout)
    evaluation = find_evaluation(checkout)
    texts |= evaluation
    save_imported(texts)
    for task, found in texts.items():
        out.print(f"{task}: {described(found.text)}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"kept in {imported_prompts()}", markup=False, highlight=False, soft_wrap=True)
    if not evaluation:
        out.print(
            f"the checkout has no {EVALUATION}: `visual-erm bench run --published` has no prompts",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@prompts.command()
def show(
    task: Annotated[
        str | None, typer.Argument(help="The task, by name or file. Default: every task that has a prompt.")
    ] = None,
) -> None:
    """Print the prompt in use, unchanged. Its origin is printed to standard error."""
    from visual_erm.spec.prompts import described, shipped_prompts

    for name in [task] if task else sorted(file.stem for file in shipped_prompts().glob("*.txt")):
        text = load_task(name).judge.prompt
        err.print(f"{name}: {described(text)}", style="dim", markup=False, highlight=False, soft_wrap=True)
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
        sys.stdout.flush()
        if not text.endswith("\n"):
            err.print()


@prompts.command()
def forget() -> None:
    """Remove the imported prompts and use the project's own again."""
    from visual_erm.spec.prompts import remove_imported

    out.print("removed; the project's own texts are in use" if remove_imported() else "none was imported")


def main() -> NoReturn:
    """Runs the command. An error of this project is one message and an exit code, never a traceback."""
    try:
        app()
    except ConfigError as error:
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(USAGE)
    except InfrastructureError as error:
        err.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except VisualERMError as error:
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    sys.exit(0)


def _note_local_judge(quiet: bool) -> None:
    if not quiet:
        err.print("judged locally, by OCR and image comparison; --judge URL asks a Visual-ERM server", style="dim")


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _print_json(content: object) -> None:
    print(json.dumps(content, ensure_ascii=False, indent=2))


def _print_report(report: Report) -> None:
    if not report.discrepancies:
        out.print("no discrepancy: visually equivalent")
        return
    table = Table("severity", "category", "description", box=None, pad_edge=False)
    for item in report.discrepancies:
        where = "" if item.description.startswith(item.location) else f"{item.location}: "
        table.add_row(f"{item.severity:g}", item.category, escape(where + item.description))
    out.print(table)


if __name__ == "__main__":
    main()
