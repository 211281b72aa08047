"""veRL on a CPU, for trying and testing recipes without a GPU. The reward path does not use it.

`platform` is the device layer for a CPU, `engine` the training engine, and `rollout` the inference server. veRL loads all
three because the recipe names them; nothing in this project imports them.
"""
