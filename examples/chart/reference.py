import matplotlib.pyplot as plt

seasons = ["spring", "summer", "autumn"]
first = [68.1, 75.3, 77.2]
second = [71.1, 76.9, 78.8]
positions = range(len(seasons))

figure, axes = plt.subplots(figsize=(6, 4))
axes.bar([position - 0.2 for position in positions], first, width=0.4, color="steelblue", label="2023")
axes.bar([position + 0.2 for position in positions], second, width=0.4, color="darkorange", label="2024")
axes.set_xticks(list(positions), seasons)
axes.set_ylim(60, 85)
axes.set_ylabel("visitors (thousand)")
axes.set_title("Visitors of a made-up museum")
axes.legend(loc="upper left")
figure.tight_layout()
plt.show()
