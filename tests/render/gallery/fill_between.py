import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 4 * np.pi, 300)
low, high = np.sin(x) - 0.2, np.cos(x / 2) + 0.2
with plt.style.context("ggplot"):
    fig, ax = plt.subplots()
    ax.fill_between(x, low, high, where=high > low, interpolate=True, color="C1", alpha=0.5)
    ax.fill_between(x, low, high, where=high <= low, interpolate=True, color="C2", hatch="xx", alpha=0.5)
    ax.plot(x, low, x, high, color="k")
    fig.savefig("between.webp")
