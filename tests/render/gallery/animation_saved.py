import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

fig, ax = plt.subplots()
x = np.linspace(0, 2 * np.pi, 100)
(line,) = ax.plot(x, np.sin(x), lw=3)


def update(frame):
    line.set_ydata(np.sin(x + frame / 5))
    return (line,)


animation = FuncAnimation(fig, update, frames=60, interval=40, blit=True)
animation.save("wave.gif", writer="pillow", fps=20)
