import matplotlib.pyplot as plt
import numpy as np
from matplotlib.tri import Triangulation

rng = np.random.default_rng(12)
x, y = rng.uniform(size=(2, 60))
mesh = Triangulation(x, y)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5))
left.triplot(mesh, "go-", lw=0.6)
filled = right.tripcolor(mesh, np.sin(6 * x) * y, shading="gouraud")
right.tricontour(mesh, np.sin(6 * x) * y, colors="w")
fig.colorbar(filled)
