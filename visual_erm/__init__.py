"""Visual-ERM for veRL: rewards for vision-to-code policies from what their output looks like."""

import os

# onnxruntime reads this when it is imported. Its Linux wheels report usage to their maker without it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
