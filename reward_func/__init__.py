"""Reward functions as veRL loads them, one file each. `visual_erm.adapter` describes what they take and return."""
