import matplotlib.pyplot as plt
import numpy as np
from scipy import signal
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.interpolate import griddata
from scipy.ndimage import gaussian_filter

t = np.linspace(0, 4, 1000)
fig, axes = plt.subplots(2, 2, figsize=(8, 5))
axes[0, 0].specgram(signal.chirp(t, 5, 4, 60), Fs=250, NFFT=128, noverlap=64)
axes[0, 1].imshow(gaussian_filter(np.eye(30), 2))
points = np.random.default_rng(0).uniform(size=(30, 2))
dendrogram(linkage(points, "ward"), ax=axes[1, 0], no_labels=True)
x, y = np.mgrid[0:1:40j, 0:1:40j]
axes[1, 1].pcolormesh(x, y, griddata(points, points.sum(1), (x, y), method="cubic"))
