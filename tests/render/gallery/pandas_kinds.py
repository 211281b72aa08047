import matplotlib.pyplot as plt
import pandas as pd

frame = pd.DataFrame(
    {"town": ["Ayr", "Bath", "Cork", "Deal"], "men": [11, 23, 31, 9], "women": [12, 21, 33, 10]}
).set_index("town")
fig, axes = plt.subplots(2, 2, figsize=(7, 5))
frame.plot(kind="bar", stacked=True, ax=axes[0, 0], rot=0)
frame.plot.barh(ax=axes[0, 1], color={"men": "navy", "women": "coral"})
frame.plot.area(ax=axes[1, 0], alpha=0.5)
frame["men"].plot.pie(ax=axes[1, 1], autopct="%.0f%%")
plt.tight_layout()
