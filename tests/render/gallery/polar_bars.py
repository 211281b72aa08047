import matplotlib.pyplot as plt
import numpy as np

hours = np.arange(24)
visits = 20 + 15 * np.sin(hours / 24 * 2 * np.pi - 2)
ax = plt.subplot(projection="polar")
ax.bar(hours / 24 * 2 * np.pi, visits, width=0.22, color=plt.cm.magma(visits / 40), edgecolor="white")
ax.set_theta_zero_location("N")
ax.set_theta_direction(-1)
ax.set_xticks(hours[::3] / 24 * 2 * np.pi, [f"{hour} h" for hour in hours[::3]])
plt.show()
