import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 10, 50)
plt.figure(figsize=(5, 3))
for k in range(1, 7):
    plt.plot(x, np.sqrt(k * x), linestyle=["-", "--", "-.", ":"][k % 4], label=f"a rather long name, k = {k}")
plt.legend(title="Series", loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
plt.savefig("legend.png", bbox_inches="tight", dpi=90)
