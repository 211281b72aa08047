import matplotlib.pyplot as plt

rows, columns = ["mean", "median", "max"], ["2022", "2023", "2024"]
values = [[3.1, 3.4, 3.9], [2.8, 3.0, 3.3], [9.7, 8.8, 9.9]]
fig, (plot, below) = plt.subplots(2, 1, height_ratios=[2, 1])
for name, numbers in zip(rows, values, strict=False):
    plot.plot(columns, numbers, marker="o", label=name)
plot.legend()
below.axis("off")
table = below.table(values, rowLabels=rows, colLabels=columns, loc="center", cellLoc="center", colColours=["#ddd"] * 3)
table.scale(1, 1.4)
plt.show()
