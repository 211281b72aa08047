"""Scores all samples, and compares what comes out with what came out when `expected.json` was written.

python tests/golden/run.py             compares; prints what differs, and ends with 1 if anything does
python tests/golden/run.py --write     writes expected.json
--only PREFIX                          of the samples whose id begins so (not with --write)
--every N                              of every Nth sample (not with --write)
--same-engines                         ends with 3 at once where other engines draw and read here
"""

from __future__ import annotations

import argparse
import asyncio
import contextvars
import hashlib
import importlib
import json
import logging
import os
import platform
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from aiohttp import web  # noqa: E402
from PIL import Image  # noqa: E402
from samples import Answer, Sample, encoded, samples  # noqa: E402

from visual_erm.extract import Code  # noqa: E402
from visual_erm.judge.base import Judge, make_judge  # noqa: E402
from visual_erm.judge.usage import JudgeUsage  # noqa: E402
from visual_erm.pipeline import RewardPipeline, RewardResult  # noqa: E402
from visual_erm.render.base import make_renderer  # noqa: E402
from visual_erm.reward.report import Report  # noqa: E402
from visual_erm.spec.base import read_yaml, shipped  # noqa: E402
from visual_erm.spec.judge import JudgeSettings  # noqa: E402
from visual_erm.spec.task import Task, load_task  # noqa: E402

NUMBERS = {
    "score": "reward",
    "severity": "severity",
    "render_ok": "render_ok",
    "extract_ok": "extract_ok",
    "scored_ok": "scored_ok",
    "invalid": "invalid",
    "truncated": "truncated",
    "judge_calls": "judge_calls",
    "judge_identical": "judge_identical",
    "judge_failed_unreadable": "judge_failed_unreadable",
}
"""Keys of a result's numbers, and what they are called here. Beside them, all that `SEVERAL` finds are kept as they are."""
SEVERAL = re.compile(r"\w+_count|guard_(?!ms)\w+")

EXPECTED, CHANGED = HERE / "expected.json", HERE / "changed.json"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chart_quick": ("chart", {"render": {"timeout_s": 1}}),
    "table_raw": ("table", {"render": {"style": "published"}, "scoring": {"mode": "raw"}}),
    "svg_cairosvg": ("svg", {"render": {"backend": "cairosvg"}, "scoring": {"s_max": 12}}),
}
"""Tasks with other settings than the shipped ones."""
PACKAGES = [
    "matplotlib",
    "pandas",
    "seaborn",
    "cairosvg",
    "pyvips-binary",
    "pillow",
    "onnxruntime",
    "rapidocr",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "scikit-image",
    "rapidfuzz",
    "apted",
    "lxml",
    "beautifulsoup4",
    "html5lib",
    "json_repair",
    "torch",
    "transformers",
]

Record = dict[str, Any]
current: contextvars.ContextVar[Judge] = contextvars.ContextVar("current")
"""The judge of the sample under way."""


# What may differ


def engines() -> dict[str, str]:
    """What draws, reads and counts here, by name and version."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    found = {package: version(package) for package in PACKAGES}
    return found | {
        "python": platform.python_version(),
        "chromium": make_renderer(load_task("table").render).renderer_version,
        "cpu": cpu[1] if cpu else platform.machine(),
    }


def steady(text: str) -> str:
    """A reason without what differs from run to run: folders, ports, addresses, times."""
    for folder, name in ((tempfile.gettempdir(), "TMP"), (sys.prefix, "VENV"), (str(ROOT), "ROOT")):
        text = re.sub(rf"{re.escape(folder)}(?=/)", name, text)
    text = re.sub(r"TMP/[^/\s'\"]+", "TMP/…", text)
    text = re.sub(r"127\.0\.0\.1:\d+(/\d+)?", "127.0.0.1:…", text)
    return re.sub(r"0x[0-9a-f]{6,}|[\d.]+ s of them on the processor", "…", text)


# What is recorded


def numbers_of(numbers: Mapping[str, float]) -> Record:
    kept = {NUMBERS[key]: value for key, value in numbers.items() if key in NUMBERS}
    return kept | {key: value for key, value in numbers.items() if SEVERAL.fullmatch(key)}


def result_of(result: RewardResult, task: Task) -> Record:
    code, image, report = result.code, result.image, result.report
    return {
        **numbers_of(result.numbers(task.report.categories)),
        "reason": steady(result.reason),
        "language": code.language if code else None,
        "code": digest(code.text.encode("utf-8", "surrogatepass")) if code else None,
        "report": report.wire(task.report) if report else None,
        "image": digest(f"{image.mode} {image.size}".encode(), image.tobytes()) if image else None,
    }


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


# The recorded judge


class Recorded:
    """A server that answers each sample's requests, which come under a path of its own, with the sample's answers."""

    def __init__(self) -> None:
        self.answers: list[list[Answer]] = []
        self.requests: list[list[bytes]] = []

    async def __aenter__(self) -> Recorded:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{number}/v1/chat/completions", self._answer)
        app.router.add_get("/{number}/v1/models", self._models)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._home = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def judge(self, sample: Sample) -> tuple[Judge, list[bytes]]:
        """A judge that is asked for this sample alone, and the requests that it will have sent."""
        self.answers.append(list(sample.answers))
        self.requests.append([])
        url = f"{self._home}/{len(self.answers) - 1}/v1"
        return make_judge(JudgeSettings(kind="remote", endpoints=(url,))), self.requests[-1]

    async def _answer(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        body = await request.json()
        self.requests[number].append(json.dumps(body, sort_keys=True).encode())
        answers = self.answers[number]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer.status != 200:
            return web.json_response({"error": {"message": answer.text}}, status=answer.status)
        message = {"role": "assistant", "content": answer.text}
        choice = {"index": 0, "message": message, "finish_reason": answer.finish}
        return web.json_response({"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice]})

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "visual-erm", "object": "model"}]})


class Switch:
    """A judge that hands each sample to its own: the judge in `current`."""

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        return await current.get().judge(reference, prediction, task, usage)

    async def close(self) -> None:
        """Each sample closes its own."""


# Scoring


class Run:
    """One run over some samples. References are drawn first, then each way of scoring has its turn."""

    def __init__(self, chosen: list[Sample], folder: Path) -> None:
        self.folder = folder
        self.tasks = {name: load_task(name) for name in ("table", "chart", "svg")}
        for name, (base, changes) in VARIANTS.items():
            settings = read_yaml(shipped("configs") / "task" / f"{base}.yaml")
            self.tasks[name] = load_task({**settings, **{key: settings[key] | value for key, value in changes.items()}})
        self.groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in chosen:
            self.groups[sample.how].append(sample)
        self.references: dict[tuple[str, str | bytes], Path] = {}
        self.server = Recorded()
        self.found: dict[str, Record] = {}

    async def all(self) -> dict[str, Record]:
        """What came out, by id."""
        await self.draw_references()
        async with self.server:
            for how, group in self.groups.items():
                if how in ("local", "remote", "lost"):
                    await self.by_pipeline(how, group)
                else:
                    await self.by_function(how, group)
        return self.found

    async def draw_references(self) -> None:
        renderers = {name: make_renderer(task.render, pages=2) for name, task in self.tasks.items()}
        wanted = {(sample.task, sample.reference): None for group in self.groups.values() for sample in group}

        async def draw(number: int, task: str, source: str | bytes) -> None:
            path = self.references[task, source] = self.folder / f"{number}.png"
            if isinstance(source, str):
                source = encoded(await renderers[task].render(Code(self.tasks[task].languages[0], source)))
            path.write_bytes(source)

        await asyncio.gather(*(draw(number, *key) for number, key in enumerate(wanted)))
        await asyncio.gather(*(renderer.close() for renderer in renderers.values()))

    async def by_pipeline(self, how: str, group: list[Sample]) -> None:
        settings = (
            JudgeSettings(kind="local", ocr_workers=2) if how == "local" else JudgeSettings(kind="remote", endpoints=("-",))
        )
        judge = make_judge(settings) if how == "local" else Switch()
        pipelines = {name: RewardPipeline(self.tasks[name], settings, 2, judge) for name in {s.task for s in group}}
        if how == "lost":
            for sample in group:
                await self.score(sample, pipelines[sample.task])
        else:
            await asyncio.gather(*(self.score(sample, pipelines[sample.task]) for sample in group))
        await asyncio.gather(*(pipeline.close() for pipeline in pipelines.values()))

    async def score(self, sample: Sample, pipeline: RewardPipeline) -> None:
        """By the pipeline; what the judge was sent is recorded too."""
        mine, requests = self.server.judge(sample) if sample.how != "local" else (None, [])
        if mine:
            current.set(mine)
        reference = self.references[sample.task, sample.reference].read_bytes()
        result = await pipeline.score(sample.reply, reference)
        self.found[sample.id] = result_of(result, self.tasks[sample.task])
        if mine:
            self.found[sample.id]["requests"] = digest(*requests)
            await mine.close()

    async def by_function(self, how: str, group: list[Sample]) -> None:
        """By the reward function that veRL would call; reason and report are read from its rollout_log."""
        name = {"compute": "visual_equivalence", "mixed": "visual_equivalence", "dino": "dino_similarity"}.get(how, how)
        module = importlib.import_module(f"reward_func.{name.removesuffix('_tags')}")
        own: dict[str, Any] = {"teds_tags": {"header_text": False}}.get(how, {})
        if how == "dino":
            own = {"model": str(tiny_dino(self.folder)), "device": "cpu", "batch_size": 1}
        if how in ("ssim", "dino", "compute", "mixed"):
            own["data_root"] = str(self.folder)
        rollout_log = self.folder / f"rollout-log-{how}"

        def compute(sample: Sample) -> Awaitable[dict[str, float]]:
            image = {"path": self.references[sample.task, sample.reference].name, "bytes": None}
            extra = {"index": sample.id, "split": "test", "reference": image}
            task = "mixed" if how == "mixed" else sample.task
            return module.compute_score(
                sample.task, sample.reply, sample.reference, extra, task=task, rollout_log=str(rollout_log), **own
            )

        results = await asyncio.gather(*map(compute, group))
        await module.close()
        lines = [json.loads(line) for path in rollout_log.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
        said = {line["index"]: line for line in lines}
        for sample, numbers in zip(group, results, strict=True):
            line = said[sample.id]
            self.found[sample.id] = {
                **numbers_of(numbers),
                "reason": steady(line["reason"]),
                "report": line.get("report"),
                "reply": digest(line["reply"].encode("utf-8", "surrogatepass")),
            }


def tiny_dino(folder: Path) -> Path:
    """A DINOv2 of a few hundred thousand parameters, random and always the same."""
    import torch
    import transformers

    torch.manual_seed(0)
    torch.set_num_threads(1)
    shape = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**shape)).save_pretrained(folder / "dino")
    sizes = {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}
    transformers.BitImageProcessor(**sizes).save_pretrained(folder / "dino")
    return folder / "dino"


# Writing and comparing


def written(here: Mapping[str, str], found: Mapping[str, Record]) -> str:
    """expected.json: one line for each sample."""
    lines = [f"  {json.dumps(name)}: {json.dumps(found[name], sort_keys=True)}" for name in sorted(found)]
    head = json.dumps(dict(here), sort_keys=True, indent=2).replace("\n", "\n  ")
    return '{\n "engines": ' + head + ',\n "samples": {\n' + ",\n".join(lines) + "\n }\n}\n"


def differences(expected: Mapping[str, Record], found: Mapping[str, Record], changed: Mapping[str, str]) -> list[str]:
    """A line for each sample that is not as expected, and for each field of it. Those in `changed` must only be there."""
    lines = [f"{name}: in changed.json, but no sample" for name in changed if name not in expected]
    for name in sorted({*expected, *found} - set(changed)):
        if name not in expected or name not in found:
            lines.append(f"{name}: {'not expected' if name in found else 'not there'}")
            continue
        was, now = expected[name], found[name]
        fields = [field for field in sorted({*was, *now}) if was.get(field) != now.get(field)]
        lines += [f"{name}: {field}: {was.get(field)!r} -> {now.get(field)!r}" for field in fields]
    return lines


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--write", action="store_true")
    words.add_argument("--only", default="", metavar="PREFIX")
    words.add_argument("--every", type=int, default=1, metavar="N")
    words.add_argument("--same-engines", action="store_true")
    asked = words.parse_args()
    logging.disable(logging.WARNING)
    here = engines()
    known = json.loads(EXPECTED.read_text(encoding="utf-8")) if not asked.write else {"engines": here, "samples": {}}
    others = {name: (known["engines"].get(name), here.get(name)) for name in sorted({*known["engines"], *here})}
    for name, (was, now) in others.items():
        if was != now:
            print(f"other engine: {name}: {was} -> {now}")
    if asked.same_engines and known["engines"] != here:
        return 3
    every = samples()
    wanted = {s.id for s in [s for s in every if s.id.startswith(asked.only)][:: asked.every]}
    # Those of `lost` depend on each other: all of a task or none.
    first = {sample.task: sample.id for sample in reversed(every) if sample.how == "lost"}
    lost = [sample for sample in every if sample.how == "lost" and sample.id in wanted]
    parts = {sample.task for sample in lost if asked.every == 1 or sample.id == first[sample.task]}
    chosen = [s for s in every if (s.task in parts if s.how == "lost" else s.id in wanted)]
    with tempfile.TemporaryDirectory() as folder:
        # Prompts that someone imported stay out, and processes that are started find this checkout.
        os.environ.update(XDG_CONFIG_HOME=folder, PYTHONPATH=str(ROOT))
        found = asyncio.run(Run(chosen, Path(folder)).all())
    if asked.write:
        EXPECTED.write_text(written(here, found), encoding="utf-8")
        print(f"{len(found)} samples written")
        return 0
    names = {sample.id for sample in chosen}
    if asked.every == 1:
        names |= {name for name in known["samples"] if name.startswith(asked.only)}
    expected = {name: record for name, record in known["samples"].items() if name in names}
    found = json.loads(json.dumps(found))
    changed = json.loads(CHANGED.read_text(encoding="utf-8"))
    lines = differences(expected, found, {name: why for name, why in changed.items() if name in names})
    print("\n".join([*lines, f"{len(found)} samples, {len({line.split(': ')[0] for line in lines})} differ"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
