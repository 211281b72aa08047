import matplotlib.pyplot as plt
import numpy as np

y, x = np.mgrid[-3:3:60j, -3:3:60j]
u, v = -1 - x**2 + y, 1 + x - y**2
plt.figure(figsize=(5, 4))
lines = plt.streamplot(x, y, u, v, color=np.hypot(u, v), density=0.8, cmap="winter", linewidth=1.5)
plt.colorbar(lines.lines)
plt.savefig("flow.jpg")
