"""The judge that needs no model: it reads both images and compares what it read."""
