import matplotlib.pyplot as plt
import numpy as np

fig, panels = plt.subplot_mosaic("AAB;CCB", layout="constrained", figsize=(6, 4))
x = np.arange(20)
panels["A"].plot(x, x**1.5, "s-")
panels["B"].barh(["one", "two", "three"], [3, 5, 2], color="teal")
panels["C"].fill_between(x, x, 2 * x, alpha=0.4)
for name, ax in panels.items():
    ax.set_title(name, loc="left", fontweight="bold")
fig.show()
