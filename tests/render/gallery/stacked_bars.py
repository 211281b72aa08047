import matplotlib.pyplot as plt
import numpy as np

years = ["2021", "2022", "2023", "2024"]
parts = {"Coal": [40, 34, 27, 20], "Oil": [30, 29, 28, 26], "Wind": [12, 19, 27, 36]}
bottom = np.zeros(4)
fig, ax = plt.subplots()
for name, values in parts.items():
    bars = ax.bar(years, values, 0.6, bottom=bottom, label=name)
    ax.bar_label(bars, label_type="center", color="white")
    bottom += values
ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.12))
ax.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    plt.savefig("stacked.png")
