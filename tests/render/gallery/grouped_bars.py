import matplotlib.pyplot as plt
import numpy as np


def main():
    where = np.arange(4)
    _fig, ax = plt.subplots(figsize=(6, 3.5))
    for offset, (name, hatch) in enumerate((("north", "//"), ("south", ".."), ("west", ""))):
        bars = ax.bar(where + 0.27 * offset, (offset + 2) * np.sqrt(where + 1), 0.25, label=name, hatch=hatch)
        ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    ax.set_xticks(where + 0.27, ["Q1", "Q2", "Q3", "Q4"])
    ax.margins(y=0.2)
    ax.legend()
