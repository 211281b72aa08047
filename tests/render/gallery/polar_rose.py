import matplotlib.pyplot as plt
import numpy as np

angle = np.linspace(0, 2 * np.pi, 400)
fig, ax = plt.subplots(subplot_kw={"projection": "polar"})
ax.plot(angle, 1 + np.cos(5 * angle), color="crimson")
ax.set_rticks([0.5, 1, 1.5])
ax.set_title("Five petals")
plt.savefig("rose.png")
