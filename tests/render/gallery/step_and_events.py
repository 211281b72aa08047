import matplotlib.pyplot as plt
import numpy as np

fig, (top, middle, bottom) = plt.subplots(3, 1, figsize=(6, 5))
x = np.arange(14)
for where in ("pre", "mid", "post"):
    top.step(x, np.sin(x / 2) + {"pre": 2, "mid": 1, "post": 0}[where], where=where, label=where)
top.legend()
middle.eventplot([np.sqrt(x) * 3, x, x / 2], colors=["C0", "C1", "C2"])
bottom.stairs([1, 3, 2, 5, 4], [0, 2, 5, 6, 9, 12], fill=True)
