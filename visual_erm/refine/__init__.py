"""Reflect and revise: a policy sees what its code renders and what a judge finds, and writes the code again."""
