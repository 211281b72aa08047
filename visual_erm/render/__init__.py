"""Renderers: code to image, one renderer per kind of code."""
