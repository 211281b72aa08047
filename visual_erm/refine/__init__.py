"""Reflect and revise."""
