"""Chart scripts of the kinds that chart-to-code meets. None saves its figure: every way of drawing does that by itself."""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = ("North", "South", "East", "West", "Online", "Retail", "Alpha", "Beta", "Q1", "Q2", "Q3", "Q4")


def script(kind: str, seed: int) -> str:
    """A script of one of `KINDS`, with numbers and words of its own."""
    draw = random.Random(seed)
    size = f"{draw.choice((6, 7, 8))}, {draw.choice((4, 5))}"
    begin = "import numpy as np\nimport matplotlib.pyplot as plt\n" + f"rng = np.random.default_rng({seed})\n"
    return begin + KINDS[kind](draw).replace("SIZE", size)


def _labels(draw: random.Random, count: int) -> str:
    return repr(draw.sample(WORDS, count))


def _line(draw: random.Random) -> str:
    return f"""
fig, ax = plt.subplots(figsize=(SIZE))
for label in {_labels(draw, 3)}:
    ax.plot(np.arange(40), rng.normal(0.2, 1, 40).cumsum(), marker="o", markersize=3, label=label)
ax.set(title="Trend by month", xlabel="Month", ylabel="Index")
ax.grid(alpha=0.3)
ax.legend()
fig.tight_layout()
"""


def _bar(draw: random.Random) -> str:
    return f"""
labels = {_labels(draw, 6)}
fig, ax = plt.subplots(figsize=(SIZE))
x = np.arange(6)
for offset, name in ((-0.2, "2023"), (0.2, "2024")):
    bars = ax.bar(x + offset, rng.uniform(10, 90, 6), 0.4, label=name)
    ax.bar_label(bars, fmt="%.0f")
ax.set_xticks(x, labels)
ax.set_title("Revenue by channel")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
fig.tight_layout()
"""


def _scatter(draw: random.Random) -> str:
    return f"""
plt.figure(figsize=(SIZE))
x, y, color = rng.normal(size=(3, {draw.randint(100, 400)}))
plt.scatter(x, y, c=color, s=20, alpha=0.6)
plt.axhline(0, color="gray", linestyle="--")
plt.title(r"Residuals, $\\sigma^2 = {draw.randint(1, 9)}$")
plt.xlabel("fitted")
plt.ylabel("residual")
"""


def _heat_map(draw: random.Random) -> str:
    return f"""
fig, ax = plt.subplots(figsize=(SIZE))
values = rng.uniform(size=(6, 8))
image = ax.imshow(values, cmap="{draw.choice(("viridis", "magma", "coolwarm"))}")
for row, column in np.ndindex(values.shape):
    ax.text(column, row, f"{{values[row, column]:.2f}}", ha="center", va="center", color="white", fontsize=7)
fig.colorbar(image, ax=ax)
ax.set_title("Correlation")
"""


def _pie(draw: random.Random) -> str:
    return f"""
fig, ax = plt.subplots(figsize=(SIZE))
ax.pie(rng.uniform(5, 30, 5), labels={_labels(draw, 5)}, autopct="%1.1f%%", startangle=90)
ax.set_title("Share of sales")
"""


def _panels(draw: random.Random) -> str:
    return f"""
fig, axes = plt.subplots(2, 2, figsize=(SIZE))
axes[0, 0].hist(rng.normal(size=500), bins=25, color="steelblue")
axes[0, 1].boxplot([rng.normal(i, 1, 80) for i in range(4)])
axes[1, 0].fill_between(np.arange(30), rng.uniform(1, 2, 30), alpha=0.5)
axes[1, 1].barh({_labels(draw, 4)}, rng.uniform(1, 9, 4), color="salmon")
for ax, name in zip(axes.flat, "abcd"):
    ax.set_title(f"({{name}})")
fig.suptitle("Overview")
fig.tight_layout()
"""


def _polar(draw: random.Random) -> str:
    return f"""
angles = np.linspace(0, 2 * np.pi, 7)
fig, ax = plt.subplots(figsize=(SIZE), subplot_kw={{"projection": "polar"}})
for label in {_labels(draw, 2)}:
    values = rng.uniform(2, 10, 6)
    ax.plot(angles, [*values, values[0]], label=label)
    ax.fill(angles, [*values, values[0]], alpha=0.2)
ax.legend()
"""


def _twin(draw: random.Random) -> str:
    return """
fig, left = plt.subplots(figsize=(SIZE))
left.bar(np.arange(12), rng.uniform(100, 300, 12), color="lightgray")
right = left.twinx()
right.plot(np.arange(12), rng.uniform(1, 5, 12), "r-o")
left.set_ylabel("units")
right.set_ylabel("price", color="red")
left.set_xticks(np.arange(12), [f"20{year:02d}" for year in range(12)], rotation=45)
"""


def _pandas(draw: random.Random) -> str:
    return f"""
import pandas as pd
frame = pd.DataFrame(rng.uniform(1, 9, (6, 3)), columns={_labels(draw, 3)})
frame.plot(kind="bar", stacked=True, figsize=(SIZE), title="Stacked")
plt.tight_layout()
"""


def _seaborn(draw: random.Random) -> str:
    return f"""
import pandas as pd
import seaborn as sns
sns.set_theme(style="whitegrid")
frame = pd.DataFrame({{"value": rng.normal(size=150), "group": rng.choice({_labels(draw, 3)}, 150)}})
plt.figure(figsize=(SIZE))
sns.violinplot(data=frame, x="group", y="value")
plt.title("Distribution")
"""


KINDS: dict[str, Callable[[random.Random], str]] = {
    "line": _line,
    "bar": _bar,
    "scatter": _scatter,
    "heat map": _heat_map,
    "pie": _pie,
    "panels": _panels,
    "polar": _polar,
    "twin axes": _twin,
    "pandas": _pandas,
    "seaborn": _seaborn,
}
