import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(-50, 50, 400)
plt.plot(x, x**3)
plt.yscale("symlog", linthresh=10)
plt.axhline(0, color="k", lw=0.5)
plt.axvline(0, color="k", lw=0.5)
plt.title("Cubes, both signs")
