import matplotlib.pyplot as plt
from matplotlib import animation

fig, ax = plt.subplots()
ax.set(xlim=(0, 10), ylim=(0, 10), title="A ball")
(ball,) = ax.plot([], [], "o", markersize=20)


def start():
    ball.set_data([], [])
    return (ball,)


def step(i):
    ball.set_data([i + 2], [8 - i])
    return (ball,)


keep = animation.FuncAnimation(fig, step, init_func=start, frames=8, blit=True)
plt.show()
