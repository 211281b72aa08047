import matplotlib.pyplot as plt
import numpy as np

x, y = np.meshgrid(np.linspace(-2, 2, 16), np.linspace(-2, 2, 16))
fig, ax = plt.subplots()
arrows = ax.quiver(x, y, -y, x, np.hypot(x, y), cmap="autumn", pivot="mid")
ax.quiverkey(arrows, 0.9, 1.03, 2, "2 m/s", labelpos="E")
ax.barbs(x[::5, ::5], y[::5, ::5], 20 * x[::5, ::5], 20 * y[::5, ::5])
ax.set_aspect("equal")
