import numpy as np
import pandas as pd
import seaborn as sns

rng = np.random.default_rng(8)
frame = pd.DataFrame(rng.normal(size=(90, 2)), columns=["length", "width"])
frame["kind"] = np.repeat(["oak", "elm", "ash"], 30)
frame["site"] = ["hill", "vale"] * 45
sns.relplot(frame, x="length", y="width", hue="kind", style="kind", col="site", height=3)
