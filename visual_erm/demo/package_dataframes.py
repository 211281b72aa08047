"""Data sets inside the packages statsmodels and scikit-learn: real numbers for trials without a download."""

from __future__ import annotations

import importlib
import math
import pkgutil
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from visual_erm.errors import ConfigError


def package_dataframes() -> Iterator[tuple[str, Any]]:
    """Loads each data set.

    Yields:
        Name and pandas data frame.

    Raises:
        ConfigError: Neither package is installed.
    """
    found = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, frame in (*_statsmodels(), *_sklearn()):
            found = True
            yield name, frame
    if not found:
        raise ConfigError("neither statsmodels nor scikit-learn is installed: pip install statsmodels scikit-learn")


def decimals(values: Sequence[Any]) -> int:
    """Computes how many decimals the numbers of one column need.

    Args:
        values: Cells of a column. Those that are not finite numbers are ignored.

    Returns:
        Number of decimals that the values have, at most as many as give the largest value three significant figures.

    >>> decimals([1871.0, 1120.0]), decimals([5.1, 3.5]), decimals([0.038076, 0.05068])
    (0, 1, 4)
    """
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    largest = max(map(abs, numbers), default=0) or 1
    most = min(max(2 - math.floor(math.log10(largest)), 0), 4)
    return next(d for d in range(most + 1) if all(round(n, d) == round(n, most) for n in numbers))


def _statsmodels() -> Iterator[tuple[str, Any]]:
    try:
        import statsmodels.datasets as folder
    except ImportError:
        return
    for module in pkgutil.iter_modules(folder.__path__):
        data = importlib.import_module(f"{folder.__name__}.{module.name}") if module.ispkg else None
        if data is not None and hasattr(data, "load_pandas"):
            yield f"statsmodels/{module.name}", data.load_pandas().data


def _sklearn() -> Iterator[tuple[str, Any]]:
    try:
        from sklearn import datasets
    except ImportError:
        return
    for name in ("breast_cancer", "diabetes", "iris", "linnerud", "wine"):
        yield f"scikit-learn/{name}", getattr(datasets, f"load_{name}")(as_frame=True).frame
