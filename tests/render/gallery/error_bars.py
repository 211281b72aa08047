import matplotlib.pyplot as plt
import numpy as np

dose = np.array([0.5, 1, 2, 4, 8])
effect = 10 * dose / (dose + 1.5)
plt.errorbar(dose, effect, yerr=[0.3 * np.sqrt(effect), 0.5 * np.sqrt(effect)], xerr=0.1 * dose, fmt="o", capsize=4)
plt.errorbar(dose, effect - 3, yerr=0.5, uplims=True, lolims=[True, False, True, False, True], ls="--")
plt.xscale("log", base=2)
