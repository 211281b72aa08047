import matplotlib.pyplot as plt
import numpy as np

x, y = np.meshgrid(np.linspace(-3, 3, 120), np.linspace(-2, 2, 90))
z = (1 - x / 2 + x**5 + y**3) * np.exp(-(x**2) - y**2)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5))
lines = left.contour(x, y, z, 8, colors="k")
left.clabel(lines, fontsize=7)
filled = right.contourf(x, y, z, 12, cmap="RdGy", hatches=["", "/"])
fig.colorbar(filled)
plt.savefig("contour.png", dpi=80)
