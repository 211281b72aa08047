import matplotlib.pyplot as plt
from matplotlib.sankey import Sankey

fig, ax = plt.subplots(figsize=(6, 4), subplot_kw={"xticks": [], "yticks": [], "title": "Where heat goes"})
flow = Sankey(ax=ax, scale=0.01, offset=0.2, unit=" %")
flow.add(
    flows=[100, -40, -35, -25], labels=["fuel", "roof", "walls", "floor"], orientations=[0, 1, 0, -1], facecolor="tomato"
)
flow.finish()
