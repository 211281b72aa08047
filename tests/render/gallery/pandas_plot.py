import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

days = pd.date_range("2024-03-01", periods=90, freq="D")
frame = pd.DataFrame(np.random.randn(90, 3).cumsum(axis=0), index=days, columns=["ABC", "DEF", "GHI"])
ax = frame.plot(figsize=(7, 4), title="Three random walks", style=["-", "--", ":"])
frame.rolling(14).mean()["ABC"].plot(ax=ax, color="k", lw=2, label="ABC, two weeks")
ax.legend()
plt.show()
