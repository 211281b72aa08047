"""Visual-ERM for veRL: rewards for vision-to-code policies from what their output looks like."""

__version__ = "0.1.0"
