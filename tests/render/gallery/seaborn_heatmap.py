import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

frame = pd.DataFrame(np.random.default_rng(2).normal(size=(60, 5)), columns=list("abcde"))
frame["e"] += frame["a"]
sns.heatmap(frame.corr(), annot=True, fmt=".2f", cmap="vlag", center=0, square=True, linewidths=0.5)
plt.title("Correlations")
plt.savefig("correlations.png", dpi=90)
