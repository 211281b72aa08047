import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, LogNorm

field = np.add.outer(np.arange(1, 30), np.arange(1, 40)) ** 2.0
fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
fig.colorbar(axes[0].imshow(field, cmap="plasma"), ax=axes[0], label="linear")
fig.colorbar(axes[1].pcolormesh(field, norm=LogNorm(), cmap="cividis"), ax=axes[1], location="bottom")
bounded = axes[2].imshow(field, norm=BoundaryNorm([0, 500, 1000, 3000, 5000], 256), cmap="RdBu")
fig.colorbar(bounded, ax=axes[2], extend="both")
