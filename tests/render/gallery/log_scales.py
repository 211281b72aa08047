import matplotlib.pyplot as plt
import numpy as np

x = np.logspace(-2, 3, 60)
fig, axes = plt.subplots(2, 2, figsize=(6, 5))
axes[0, 0].semilogy(x, np.exp(x / 200))
axes[0, 1].semilogx(x, np.log(x))
axes[1, 0].loglog(x, x**2, "g.-")
axes[1, 0].grid(True, which="both", alpha=0.3)
axes[1, 1].plot(x / 1000, x / (1 + x))
axes[1, 1].set_yscale("logit")
fig.subplots_adjust(hspace=0.4, wspace=0.4)
plt.savefig("log.png")
