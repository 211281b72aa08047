import matplotlib.pyplot as plt
import numpy as np

fig, axes = plt.subplots(3, 2, sharex=True, sharey="row", figsize=(6, 5))
x = np.linspace(0, 6, 80)
for row, power in zip(axes, (1, 2, 3), strict=False):
    for ax, phase in zip(row, (0, 1), strict=False):
        ax.plot(x, np.sin(x + phase) ** power)
        ax.set_title(f"power {power}, phase {phase}", fontsize=8)
fig.supxlabel("time")
fig.supylabel("amplitude")
fig.tight_layout()
fig.savefig("panels.pdf")
