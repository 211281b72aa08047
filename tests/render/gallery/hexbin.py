import matplotlib.pyplot as plt
import numpy as np

x, y = np.random.standard_normal((2, 4000))
plt.hexbin(x, x * 0.6 + y, gridsize=25, cmap="Blues", bins="log")
plt.colorbar(label="count")
plt.xlim(-3, 3)
plt.show()
