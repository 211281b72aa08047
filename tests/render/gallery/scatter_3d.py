import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(4)
fig = plt.figure(figsize=(5, 4))
ax = fig.add_subplot(111, projection="3d")
for centre, marker in ((0, "o"), (4, "^")):
    ax.scatter(*rng.normal(centre, 1, (3, 60)), marker=marker, label=f"group {centre}")
ax.bar3d([0], [0], [-4], 1, 1, 3, color="gold", alpha=0.5)
ax.legend()
