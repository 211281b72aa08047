import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

sns.set_theme(style="whitegrid", palette="Set2")
rng = np.random.default_rng(3)
frame = pd.DataFrame(
    {"day": np.repeat(["Thu", "Fri", "Sat"], 40), "meal": ["lunch", "dinner"] * 60, "bill": rng.gamma(5, 4, 120)}
)
fig, axes = plt.subplots(2, 2, figsize=(8, 6))
sns.boxplot(frame, x="day", y="bill", hue="meal", ax=axes[0, 0])
sns.violinplot(frame, x="day", y="bill", hue="meal", split=True, inner="quart", ax=axes[0, 1])
sns.barplot(frame, x="day", y="bill", hue="meal", ax=axes[1, 0])
sns.stripplot(frame, x="day", y="bill", hue="meal", dodge=True, ax=axes[1, 1])
sns.despine()
plt.savefig("categories.png", dpi=70)
