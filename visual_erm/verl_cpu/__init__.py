"""veRL on a CPU: a way to try and test the recipes without a GPU, apart from the reward path."""
