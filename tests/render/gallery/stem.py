import matplotlib.pyplot as plt
import numpy as np

n = np.arange(25)
markers, stems, base = plt.stem(n, np.exp(-n / 8) * np.cos(n), linefmt="grey", markerfmt="D", basefmt="k-")
markers.set_markerfacecolor("none")
plt.xlabel("n")
plt.grid(True, linestyle=":")
plt.savefig("stem", dpi=70)
