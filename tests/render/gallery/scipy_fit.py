import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize, stats

rng = np.random.default_rng(5)
x = np.linspace(0, 4, 40)
y = 2.5 * np.exp(-1.3 * x) + 0.5 + 0.1 * rng.normal(size=x.size)


def model(x, a, b, c):
    return a * np.exp(-b * x) + c


best, _ = optimize.curve_fit(model, x, y)
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(x, y, "k.", x, model(x, *best), "r-")
left.set_title("a={:.2f} b={:.2f} c={:.2f}".format(*tuple(best)))
stats.probplot(y - model(x, *best), plot=right)
plt.show()
