"""Runs an adapter over a few made-up pairs, and compares its figures with those of `visual-erm bench`.

contrib/try_adapters.sh calls it with the name of an adapter and the folder that it may write to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
REPLY = '{"errors": [{"type": "text_error" "category": "text_error" "severity": 2 "description": "harbour reads river"}]}'
"""The one reply of lmms-eval's `dummy` model. It cuts its options at each comma, so the reply has none, and is not read."""
READ = [
    '{"errors": [{"type": "text_error", "severity": 2, "description": "harbour reads river"}]}',
    "```json\n" + '{"errors": []}' + "\n```",
    '{"errors": [{"category": "style_error", "severity": 1, "description": "the circle is red instead of blue"}]}',
    "I see no table.",
]
TRUTHS = [
    [{"type": "text_error", "severity": 2, "description": "harbour reads river"}],
    [],
    [{"type": "shape_error", "severity": 3, "description": "a square is missing"}],
    [{"type": "numeric_error", "severity": 3, "description": "17 reads 71"}],
]


def write_rows(folder: Path) -> Path:
    """Four pairs, with ids and texts that a table of numbers would change."""
    lines = []
    for number, (name, category, truths) in enumerate(
        zip(("001", "N/A", "7", "d"), ("table", "chart", "svg", "table"), TRUTHS, strict=True)
    ):
        paths = {"gt_img_path": f"{number}a.png", "pred_img_path": f"{number}b.png"}
        for path, color in zip(paths.values(), ("navy", "teal"), strict=True):
            Image.new("RGB", (64, 48), color).save(folder / path)
        lines.append(json.dumps({"id": name, "category": category, "human_errors": truths, **paths}))
    path = folder / "VC-RewardBench.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def expected(rows: Path, replies: list[str]) -> dict[str, dict[str, float]]:
    """The figures of `visual-erm bench match` and `score`, by their commands."""
    from visual_erm.bench.published import read_reply

    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    answers, matches, scores = (rows.with_name(name) for name in ("a.jsonl", "m.jsonl", "s.json"))
    for path in (answers, matches):
        path.unlink(missing_ok=True)
    answers.write_text(
        "".join(
            json.dumps({**row, "pred_json": read_reply(reply)[0], "judge": "it"}) + "\n"
            for row, reply in zip(lines, replies, strict=True)
        )
    )
    command = [sys.executable, "-m", "visual_erm.cli", "bench"]
    subprocess.run([*command, "match", str(answers), "--out", str(matches)], check=True)
    subprocess.run([*command, "score", str(matches), "--json", str(scores)], check=True, stdout=subprocess.DEVNULL)
    return {name: group["figures"] for name, group in json.loads(scores.read_text())["groups"].items()}


def same(found: dict[str, object], wanted: dict[str, object]) -> bool:
    """Whether three figures are equal; NaN is null in the file of the command."""
    return all(
        found[name] == wanted[name] or (wanted[name] is None and found[name] != found[name])
        for name in ("f1_hard", "f1_soft", "severity_correlation")
    )


def try_vlmevalkit(folder: Path, rows: Path) -> None:
    """Writes the TSV, builds the data set, asks about each line, and evaluates a file of predictions."""
    os.environ["LMUData"] = str(folder)  # noqa: SIM112 - as VLMEvalKit calls it
    sys.path.insert(0, str(HERE / "vlmevalkit"))
    import pandas as pd
    from vc_rewardbench import NAME, VCRewardBench, write_tsv

    write_tsv(rows, folder, folder / f"{NAME}.tsv")
    data_set = VCRewardBench(NAME)
    messages = [data_set.build_prompt(number) for number in range(len(data_set))]
    assert [[part["type"] for part in one] for one in messages] == [["image", "image", "text"]] * 4
    assert [Path(part["value"]).name for part in messages[2][:2]] == ["2a.png", "2b.png"]
    for kind in ("xlsx", "tsv"):
        predictions = data_set.data.assign(prediction=READ)
        path = folder / f"model_{NAME}.{kind}"
        if kind == "xlsx":
            predictions.to_excel(path, index=False)
        else:
            predictions.to_csv(path, sep="\t", index=False)
        found, wanted = data_set.evaluate(str(path)), expected(rows, READ)
        assert set(found) == set(wanted)
        assert all(same(found[name], wanted[name]) for name in wanted), (found, wanted)
        assert found["all"]["unreadable"] == 1
        assert isinstance(pd.read_json(path.with_name(f"{path.stem}_score.json")), pd.DataFrame)
    print("VLMEvalKit: the figures are those of visual-erm bench", found["all"])


def try_lmms_eval(folder: Path, rows: Path) -> None:
    """Runs its command with a model that always answers the same."""
    for name, reply in (("unread", REPLY), ("clean", '{"errors": []}')):
        if name == "clean":
            lines = [{**json.loads(line), "human_errors": []} for line in rows.read_text().splitlines()]
            rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        subprocess.run([sys.executable, str(HERE / "lmms_eval" / "utils.py"), str(rows)], check=True)
        out = folder / f"lmms-{name}"
        command = ["lmms_eval", "--model", "dummy", "--model_args", f"response={reply}", "--tasks", "vc_rewardbench"]
        command += ["--include_path", str(HERE / "lmms_eval"), "--output_path", str(out), "--batch_size", "1"]
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "VC_REWARDBENCH_ROOT": str(folder)}
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environ, check=True, capture_output=True, text=True
        )
        # It ends with 0 after an error too.
        files = sorted(out.rglob("*_results.json"))
        assert files, done.stdout[-4000:] + done.stderr[-4000:]
        found = json.loads(files[-1].read_text())["results"]["vc_rewardbench"]
        figures = {key.partition(",")[0]: value for key, value in found.items()}
        wanted = expected(rows, [reply] * 4)["all"]
        for key in ("f1_hard", "f1_soft"):
            assert figures[key] == wanted[key] == float(name == "clean"), (name, figures, wanted)
        print(f"lmms-eval ({name}): the figures are those of visual-erm bench", figures)


if __name__ == "__main__":
    which, where = sys.argv[1], Path(sys.argv[2]) / f"{sys.argv[1]}-pairs"
    where.mkdir()
    (try_vlmevalkit if which == "vlmevalkit" else try_lmms_eval)(where, write_rows(where))
