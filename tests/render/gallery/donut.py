import matplotlib.pyplot as plt

fig, ax = plt.subplots()
outer, *_ = ax.pie(
    [60, 25, 15], radius=1.1, colors=["#264653", "#2a9d8f", "#e9c46a"], wedgeprops={"width": 0.3, "edgecolor": "w"}
)
ax.pie([30, 30, 10, 15, 10, 5], radius=0.8, colors=plt.get_cmap("tab20c").colors, wedgeprops={"width": 0.3})
ax.legend(outer, ["Rent", "Food", "Rest"], loc="center")
plt.savefig("donut.png", transparent=True)
