import matplotlib.pyplot as plt
import numpy as np

np.random.seed(11)
samples = [np.random.normal(0, scale, 120) for scale in (1, 2, 3)]
fig, (left, right) = plt.subplots(1, 2, sharey=True)
parts = left.violinplot(samples, showmedians=True)
for body in parts["bodies"]:
    body.set_facecolor("mediumpurple")
boxes = right.boxplot(samples, notch=True, patch_artist=True, tick_labels=["a", "b", "c"])
for box, colour in zip(boxes["boxes"], ("pink", "lightblue", "lightgreen"), strict=False):
    box.set_facecolor(colour)
plt.show()
