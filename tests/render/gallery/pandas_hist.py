import numpy as np
import pandas as pd

rng = np.random.default_rng()
frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.exponential(size=300), "c": rng.integers(0, 9, 300)})
frame.hist(bins=20, figsize=(6, 4), grid=False, color="slategray")
