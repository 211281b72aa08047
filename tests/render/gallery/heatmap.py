import matplotlib.pyplot as plt
import numpy as np

crops, farms = ["leek", "beet", "kale", "pea"], ["Ash", "Birch", "Cedar", "Elm", "Fir"]
yields = np.array(
    [[0.8, 2.4, 2.5, 3.9, 0.0], [2.4, 0.0, 4.0, 1.0, 2.7], [1.1, 2.4, 0.8, 4.3, 1.9], [0.6, 0.0, 0.3, 0.0, 3.1]]
)
fig, ax = plt.subplots()
ax.imshow(yields, cmap="YlGn")
ax.set_xticks(range(5), farms, rotation=45, ha="right", rotation_mode="anchor")
ax.set_yticks(range(4), crops)
for (row, column), value in np.ndenumerate(yields):
    ax.text(column, row, value, ha="center", va="center", color="w" if value > 2 else "k")
fig.tight_layout()
plt.show()
