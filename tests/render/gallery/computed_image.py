import matplotlib.pyplot as plt
import numpy as np

c = np.linspace(-2, 0.6, 240) + 1j * np.linspace(-1.2, 1.2, 200)[:, None]
z, steps = np.zeros_like(c), np.zeros(c.shape, int)
for _k in range(40):
    alive = np.abs(z) < 2
    z[alive] = z[alive] ** 2 + c[alive]
    steps += alive
plt.imshow(steps, extent=(-2, 0.6, -1.2, 1.2), cmap="twilight_shifted", interpolation="bicubic")
plt.axis("off")
plt.savefig("set.png", bbox_inches="tight", pad_inches=0)
