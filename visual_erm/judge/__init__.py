"""Judges: (reference, prediction) to a report of discrepancies."""
