import matplotlib.pyplot as plt

labels = ["Wind", "Sun", "Water", "Gas"]
plt.pie([38, 27, 20, 15], labels=labels, explode=(0.08, 0, 0, 0), autopct="%1.1f%%", shadow=True, startangle=90)
plt.title("Where power comes from")
plt.axis("equal")
plt.show()
plt.close()
