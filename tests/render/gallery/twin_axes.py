import matplotlib.pyplot as plt

months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]
rain = [48, 39, 44, 52, 61, 70]
warmth = [2, 3, 7, 11, 16, 19]
fig, left = plt.subplots()
left.bar(months, rain, color="lightsteelblue", label="rain (mm)")
right = left.twinx()
right.plot(months, warmth, "r.-", label="temperature (°C)")
right.set_ylim(0, 25)
fig.legend(loc="upper left", bbox_to_anchor=(0.13, 0.88))
plt.savefig("/mnt/data/climate.png", dpi=120, bbox_inches="tight")
plt.show()
