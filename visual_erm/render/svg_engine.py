"""What draws SVG, by name and version: recorded beside references, compared before a prediction meets one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from visual_erm.errors import RendererUnavailable

_PACKAGES = {"librsvg": "pyvips-binary", "cairosvg": "cairosvg"}


def engine(backend: str) -> str:
    """For example `librsvg (pyvips-binary 8.18.7)`. Raises RendererUnavailable where the backend is not installed.

    >>> engine("cairosvg").split()[0]
    'cairosvg'
    """
    package = _PACKAGES[backend]
    try:
        found = version(package)
    except PackageNotFoundError as error:
        raise RendererUnavailable(f"{backend} is not installed: pip install {package}") from error
    return f"{backend} {found}" if package == backend else f"{backend} ({package} {found})"
