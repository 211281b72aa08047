import matplotlib.pyplot as plt
import numpy as np

towns = {"Lima": (-77, -12), "Oslo": (11, 60), "Perth": (116, -32)}
ax = plt.figure(figsize=(7, 4)).add_subplot(projection="mollweide")
for name, (east, north) in towns.items():
    ax.plot(np.radians(east), np.radians(north), "o")
    ax.text(np.radians(east), np.radians(north), f" {name}")
ax.grid(True)
