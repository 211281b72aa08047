import matplotlib.pyplot as plt

prices = {"apple": 1.2, "quince": 3.4, "plum": 2.1, "damson": 2.8}
fig, axes = plt.subplots(1, 3, figsize=(8, 3), sharey=True)
axes[0].bar(list(prices), list(prices.values()))
axes[1].scatter(list(prices), list(prices.values()), s=[80 * price for price in prices.values()])
axes[2].plot(list(prices), list(prices.values()), "D--")
for ax in axes:
    ax.tick_params(axis="x", rotation=40)
plt.tight_layout()
plt.show()
