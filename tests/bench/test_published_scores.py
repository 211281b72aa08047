"""The scorer gives the figures of the published evaluation, to the last digit.

`published` is a transcription of its rules, one after the other, without anything of the project.
"""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from visual_erm.bench.figures import NAMES
from visual_erm.bench.rows import Row
from visual_erm.bench.scores import ALL, score

TYPES = {
    "table": ["layout_error", "text_error", "numeric_error"],
    "chart": ["structure_error", "data_error", "text_error", "style_error"],
    "svg": ["structure_error", "shape_error", "style_error", "text_symbol_error"],
}
ITEMS = 10_000


def number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def published_item(row: dict[str, Any]) -> dict[str, Any]:
    """One item; raises where the published script does."""
    types = TYPES[row["category"]]
    truths = [error for error in row["human_errors"] if error.get("type") in types]
    reply = row["pred_json"] or {"errors": []}
    predictions = []
    for error in reply["errors"]:
        kind = error["type"] if error.get("type") else error.get("category")
        if kind in types:
            predictions.append({**error, "kind": kind})
    given = row["matching"]
    taken_p, taken_t, hits = set(), set(), []
    for match in given["matches"]:
        p, t, level = match.get("pred_id"), match.get("gt_id"), match.get("match_level")
        if level not in ("yes", "partial") or not isinstance(p, int) or not isinstance(t, int):
            continue
        if not 0 <= p < len(predictions) or not 0 <= t < len(truths) or p in taken_p or t in taken_t:
            continue
        taken_p.add(p)
        taken_t.add(t)
        hits.append((p, level))
    left_p, left_t = given.get("unmatched_pred"), given.get("unmatched_gt")
    left_p = set(left_p) if left_p else set(range(len(predictions))) - taken_p
    left_t = set(left_t) if left_t else set(range(len(truths))) - taken_t
    kinds: dict[str, list[float]] = {kind: [0, 0, 0, 0] for kind in types}
    for p, level in hits:
        kinds[predictions[p]["kind"]][0 if level == "yes" else 1] += 1
    for p in left_p:
        kinds[predictions[p]["kind"]][2] += 1
    for t in left_t:
        kinds[truths[t]["type"]][3] += 1
    severities = {
        kind: (
            sum(number(error.get("severity")) for error in predictions if error["kind"] == kind),
            sum(number(error.get("severity")) for error in truths if error["type"] == kind),
        )
        for kind in types
    }
    totals = tuple(sum(number(error.get("severity")) for error in side) for side in (predictions, truths))
    yes = sum(level == "yes" for _, level in hits)
    return {
        "counts": [yes, len(hits) - yes, len(left_p), len(left_t)],
        "kinds": kinds,
        "severities": severities,
        "totals": totals,
    }


def published_f1(counts: list[float], soft: bool) -> float:
    yes, partial, fp, fn = counts
    if not soft and yes == fp == fn == 0:
        return 1.0
    tp = yes + 0.5 * partial if soft else yes
    p = tp / (tp + fp) if tp + fp else 0.0
    r = tp / (tp + fn) if tp + fn else 0.0
    return 2 * p * r / (p + r) if p + r else 0.0


def pearson(points: list[tuple[float, float]]) -> float:
    if len(points) < 2:
        return math.nan
    means = [sum(side) / len(points) for side in zip(*points, strict=True)]
    xy = sum((x - means[0]) * (y - means[1]) for x, y in points)
    xx, yy = (sum((point[side] - means[side]) ** 2 for point in points) for side in (0, 1))
    return xy / math.sqrt(xx * yy) if xx and yy else math.nan


def published(rows: list[dict[str, Any]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """By category of pairs or `all`, then by category of errors or `all`: F1 hard, F1 soft, S_c."""
    done = []
    for row in rows:
        try:
            done.append((row["category"], published_item(row)))
        except IndexError:
            continue
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for group in ("all", *TYPES):
        items = [(category, item) for category, item in done if group in ("all", category)]
        if not items:
            continue

        def three(counts: list[list[float]], points: list[tuple[float, float]]) -> tuple[float, float, float]:
            sums = [sum(column) for column in zip(*counts, strict=True)]
            return published_f1(sums, False), published_f1(sums, True), pearson(points)

        found[group] = {"all": three([item["counts"] for _, item in items], [item["totals"] for _, item in items])}
        for kind in {kind for category, _ in items for kind in TYPES[category]}:
            having = [item for category, item in items if kind in TYPES[category]]
            found[group][kind] = three(
                [item["kinds"][kind] for item in having], [item["severities"][kind] for item in having]
            )
    return found


def some_errors(draw: random.Random, category: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    severities: list[Any] = [1, 2, 3, "2", "3.0", 2.5, None, "high", ""]
    return [
        {
            draw.choice(keys): draw.choice([*TYPES[category], *TYPES[category], "unknown_error"]),
            "severity": draw.choice(severities),
            "description": "differs",
        }
        for _ in range(draw.choice([0, 0, 1, 2, 3, 4, 6]))
    ]


def some_row(draw: random.Random, place: int) -> dict[str, Any]:
    category = draw.choice(list(TYPES))
    truths, predictions = some_errors(draw, category, ("type",)), some_errors(draw, category, ("type", "category"))
    ids: list[Any] = [*range(-1, 7), "1", None]
    levels = ["yes", "yes", "partial", "no", None]
    matches = [
        {"pred_id": draw.choice(ids), "gt_id": draw.choice(ids), "match_level": draw.choice(levels)}
        for _ in range(draw.randint(0, 8))
    ]
    matching: dict[str, Any] = {"matches": matches}
    for key, errors in (("unmatched_pred", predictions), ("unmatched_gt", truths)):
        known = [*range(max(0, len(errors) - 2)), *([9] if draw.random() < 0.05 else [])]
        wanted = [place for place in known if draw.random() < 0.6]
        if draw.random() < 0.5:
            matching[key] = wanted
    return {
        "id": place,
        "category": category,
        "gt_img_path": f"{place // 3}.png",
        "human_errors": truths,
        "pred_json": draw.choice([None, {"errors": predictions}, {"errors": predictions}, {"errors": predictions}]),
        "matching": matching,
    }


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [some_row(draw, place) for place in range(ITEMS)]


def close(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or one == other


@pytest.mark.parametrize("size", [1, 3, 40, ITEMS])
def test_every_figure_is_the_published_one(rows: list[dict[str, Any]], size: int) -> None:
    """In parts of each size, so that there are groups with nothing in them."""
    for start in range(0, min(ITEMS, 60 * size), size):
        part = json.loads(json.dumps(rows[start : start + size]))
        expected = published(part)
        scores = score([Row(f"rows:{place}", row) for place, row in enumerate(part)], as_published=True, draws=2)
        assert set(scores.groups) == set(expected)
        for name, group in scores.groups.items():
            assert set(group.error_categories) | {ALL} == set(expected[name])
            for kind, (hard, soft, together) in expected[name].items():
                figures = group.figures if kind == ALL else group.error_categories[kind].figures
                assert close(figures.f1_hard, hard)
                assert close(figures.f1_soft, soft)
                assert figures.severity_correlation == pytest.approx(together, abs=1e-12, nan_ok=True)


def test_the_default_recomputes_what_is_unmatched_and_says_how_much_that_changes(rows: list[dict[str, Any]]) -> None:
    part = [Row(f"rows:{place}", row) for place, row in enumerate(rows[:300])]
    scores, other = score(part, draws=2), score(part, as_published=True, draws=2)
    assert scores.contradictions > 50
    for name in NAMES:
        change = getattr(other.groups[ALL].figures, name) - getattr(scores.groups[ALL].figures, name)
        assert scores.change[name] == pytest.approx(change)
    assert scores.left_out == []
    assert other.left_out, "a list that names an error that does not exist"
    clean = [{key: value for key, value in row.content["matching"].items() if key == "matches"} for row in part]
    recomputed = [Row(row.place, {**row.content, "matching": given}) for row, given in zip(part, clean, strict=True)]
    assert score(recomputed, draws=2).groups[ALL].figures == scores.groups[ALL].figures
