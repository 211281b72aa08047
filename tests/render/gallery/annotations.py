import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects

x = np.linspace(0, 5, 200)
fig, ax = plt.subplots()
ax.plot(x, np.cos(2 * np.pi * x) * np.exp(-x), path_effects=[patheffects.withStroke(linewidth=5, foreground="0.8")])
ax.annotate("peak", (1, 0.37), (2, 0.8), arrowprops={"arrowstyle": "fancy", "connectionstyle": "arc3,rad=0.3"})
ax.annotate(
    "trough", xy=(0.5, -0.6), xytext=(40, -10), textcoords="offset points", arrowprops={"facecolor": "k", "shrink": 0.05}
)
ax.text(3, 0.6, "boxed", bbox={"boxstyle": "round4,pad=0.5", "fc": "lemonchiffon", "ec": "olive"}, rotation=15)
ax.arrow(3, -0.2, 1, -0.3, head_width=0.06, color="firebrick")
