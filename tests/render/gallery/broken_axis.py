import matplotlib.pyplot as plt
import numpy as np

values = np.array([0.8, 0.6, 0.9, 0.7, 9.6, 0.5])
fig, (top, bottom) = plt.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.08})
for ax in (top, bottom):
    ax.bar(range(6), values, color="darkorange")
top.set_ylim(9, 10)
bottom.set_ylim(0, 1.2)
top.spines.bottom.set_visible(False)
bottom.spines.top.set_visible(False)
top.xaxis.tick_top()
top.tick_params(labeltop=False)
marks = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 12, "linestyle": "none", "color": "k", "clip_on": False}
top.plot([0, 1], [0, 0], transform=top.transAxes, **marks)
bottom.plot([0, 1], [1, 1], transform=bottom.transAxes, **marks)
plt.savefig("broken.png")
