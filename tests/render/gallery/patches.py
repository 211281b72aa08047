import matplotlib.patches as mpatches
import matplotlib.pyplot as plt
from matplotlib.collections import PatchCollection
from matplotlib.path import Path

fig, ax = plt.subplots(figsize=(5, 4))
ax.add_patch(mpatches.Circle((1, 1), 0.6, color="salmon"))
ax.add_patch(mpatches.Rectangle((2, 0.5), 1.2, 0.8, angle=20, fill=False, lw=3))
ax.add_patch(mpatches.FancyBboxPatch((3.8, 0.5), 1, 0.8, boxstyle="round,pad=0.1", fc="khaki"))
ax.add_patch(mpatches.Wedge((1, 3), 0.7, 30, 300, width=0.3, fc="teal"))
ax.add_patch(mpatches.RegularPolygon((2.7, 3), 6, radius=0.6, fc="plum", ec="k"))
ax.add_patch(mpatches.FancyArrowPatch((3.5, 2.4), (5, 3.6), arrowstyle="-|>", mutation_scale=20))
heart = Path([(4.3, 2), (3.8, 2.6), (4.3, 2.6), (4.8, 2.6), (4.3, 2)], [1, 4, 4, 4, 4])
ax.add_collection(PatchCollection([mpatches.PathPatch(heart), mpatches.Ellipse((5.2, 1.8), 0.5, 0.9)], alpha=0.5))
ax.set(xlim=(0, 6), ylim=(0, 4), aspect="equal")
plt.savefig("patches.png", dpi=100, facecolor="aliceblue")
