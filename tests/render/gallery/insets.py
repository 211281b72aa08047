import matplotlib.pyplot as plt
import numpy as np
from mpl_toolkits.axes_grid1.inset_locator import inset_axes

x = np.linspace(0, 30, 600)
y = np.sin(x) / (1 + 0.1 * x)
fig, ax = plt.subplots()
ax.plot(x, y)
zoom = ax.inset_axes((0.55, 0.6, 0.4, 0.35), xlim=(6, 9), ylim=(0, 0.7))
zoom.plot(x, y, "r")
ax.indicate_inset_zoom(zoom)
small = inset_axes(ax, width="25%", height="20%", loc="lower right", borderpad=2)
small.hist(y, bins=15, color="grey")
plt.savefig("inset.svg")
