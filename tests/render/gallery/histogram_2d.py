import random

import matplotlib.pyplot as plt

x = [random.gauss(0, 1) for _ in range(3000)]
y = [a + random.gauss(0, 0.5) for a in x]
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
*_, image = left.hist2d(x, y, bins=30, cmap="hot")
fig.colorbar(image, ax=left)
right.hist([x, y], bins=20, density=True, histtype="bar", stacked=True, label=["x", "y"])
right.hist(x, bins=40, cumulative=True, density=True, histtype="step", color="k")
right.legend()
