import matplotlib.pyplot as plt
import numpy as np

x, y = np.meshgrid(np.linspace(-3, 3, 40), np.linspace(-3, 3, 40))
z = np.exp(-(x**2 + y**2) / 3) * np.cos(2 * x)
fig = plt.figure(figsize=(5, 4))
ax = fig.add_subplot(projection="3d")
surface = ax.plot_surface(x, y, z, cmap="viridis", linewidth=0)
ax.set_zlabel("height")
ax.view_init(elev=35, azim=-50)
fig.colorbar(surface, shrink=0.6)
fig.savefig("surface.png", dpi=80)
