"""What a first rendering costs, paid before there is a script: imports, fonts, mathtext, caches, date and log scales.

Nothing of it stays but what is faster for it: no figure, no setting, no unit, no registered name.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from visual_erm.sandbox.backends.chart_libraries import LIBRARIES

LAZY = (
    *("matplotlib.sankey", "matplotlib.tri", "matplotlib.widgets", "matplotlib.patheffects", "matplotlib.table"),
    *("mpl_toolkits.mplot3d.art3d", "mpl_toolkits.axes_grid1.inset_locator", "mpl_toolkits.axisartist", "seaborn.objects"),
    *("contourpy", "matplotlib._tri", "matplotlib._qhull", "pandas.plotting._matplotlib", "pandas.core.methods.to_dict"),
    *("scipy.stats", "scipy.interpolate", "scipy.optimize", "scipy.signal", "scipy.ndimage", "scipy.spatial"),
    *("scipy.cluster.hierarchy", "scipy.integrate", "scipy.special", "scipy.linalg", "scipy.fft", "scipy.sparse"),
)
"""Modules that scripts import, or that libraries import when they are first needed."""
DPI = 50
"""Dots per inch of the figures, as few as do."""


def warm_up() -> None:
    """Renders one figure of each kind."""
    for name in LAZY:
        importlib.import_module(name)
    for library in LIBRARIES:
        if library.extra == "charts":
            with contextlib.suppress(ImportError):
                importlib.import_module(library.module)
    for fill in (_lines, _fields, _shapes, _frames):
        with matplotlib.rc_context():
            _render(fill)
    plt.close("all")


def _render(fill: Callable[[Figure], None]) -> None:
    fill(plt.figure())
    for number in plt.get_fignums():
        plt.figure(number).savefig(io.BytesIO(), format="raw", dpi=DPI)
    plt.close("all")


def _lines(figure: Figure) -> None:
    axes = figure.subplots(2, 2)
    x = np.linspace(0.1, 10, 50)
    axes[0, 0].plot(x, np.sin(x), "o--", label=r"$\frac{\alpha_i}{\sqrt{\beta^2}}\ \sum_0^\infty$")
    axes[0, 0].fill_between(x, 0, np.sin(x), alpha=0.3, hatch="//")
    axes[0, 0].legend()
    axes[0, 0].annotate("here", (2, 0), (5, 0.5), arrowprops={"arrowstyle": "->"}, bbox={"boxstyle": "round"})
    axes[0, 1].loglog(x, x**2)
    axes[0, 1].twinx().semilogx(x, x)
    axes[0, 1].set_title("bold", fontweight="bold", fontstyle="italic", family="monospace")
    axes[1, 0].errorbar(x, x, yerr=1, capsize=3)
    axes[1, 0].set_yscale("symlog")
    axes[1, 0].set_ylabel("serif", family="serif", rotation=45)
    axes[1, 1].bar(["a", "b"], [1, 2])
    axes[1, 1].grid(True)
    figure.suptitle("all")


def _fields(figure: Figure) -> None:
    axes = figure.subplots(1, 2)
    grid = np.add.outer(np.arange(8.0), np.arange(8.0))
    figure.colorbar(axes[0].imshow(grid, interpolation="bilinear"))
    axes[0].clabel(axes[0].contour(grid))
    axes[1].contourf(grid, cmap="jet")
    axes[1].streamplot(np.arange(8.0), np.arange(8.0), grid, grid)
    axes[1].quiver(grid, grid)
    axes[1].pcolormesh(grid, norm=matplotlib.colors.LogNorm(1, 20))


def _shapes(figure: Figure) -> None:
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0))
    space = figure.add_subplot(131, projection="3d")
    space.plot_surface(x, y, x * y, cmap="viridis")
    space.scatter(x, y, x)
    figure.add_subplot(132, projection="polar").bar([0, 1, 2], [1, 2, 3])
    flat = figure.add_subplot(133)
    flat.pie([1, 2], labels=["a", "b"], autopct="%1.1f%%", shadow=True)
    flat.inset_axes((0.5, 0.5, 0.4, 0.4)).boxplot([[1, 2, 3], [2, 3, 4]])
    moving = FuncAnimation(figure, lambda _: None, frames=2)
    moving._draw_was_started = True  # type: ignore[attr-defined]


def _frames(figure: Figure) -> None:
    figure.set_layout_engine("constrained")
    axes = figure.subplots(2, 2)
    frame = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) ** 2, "c": list("xyz") * 4})
    pd.Series(np.arange(60.0), index=pd.date_range("2024-01-01", periods=60)).plot(ax=axes[0, 0])
    sns.set_theme(color_codes=False)  # "r" is to stay red
    sns.barplot(data=frame, x="c", y="a", hue="c", ax=axes[0, 1])
    sns.kdeplot(data=frame, x="a", hue="c", ax=axes[1, 0])
    sns.heatmap(frame[["a", "b"]].corr(), annot=True, ax=axes[1, 1])
