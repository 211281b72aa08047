import matplotlib.pyplot as plt
import numpy as np

plt.style.use("seaborn-v0_8-darkgrid")
with plt.rc_context({"path.sketch": (1, 100, 2), "font.family": "monospace"}):
    fig, ax = plt.subplots()
    ax.plot(np.arange(50), np.minimum(np.arange(50), 30))
    ax.annotate("the day I learnt to cook", xy=(30, 30), xytext=(8, 34), arrowprops={"arrowstyle": "->"})
    ax.set_ylim(0, 40)
    plt.savefig("sketch.png", dpi=75)
