import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

when = np.tile(np.arange(12), 8)
frame = pd.DataFrame({"when": when, "value": np.sin(when / 2) + np.random.normal(0, 0.4, 96)})
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
sns.lineplot(frame, x="when", y="value", ax=left)
sns.regplot(frame, x="when", y="value", ax=right, order=2, scatter_kws={"s": 9})
plt.show()
