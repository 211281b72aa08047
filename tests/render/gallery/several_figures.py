import matplotlib.pyplot as plt

for number in range(1, 4):
    fig, ax = plt.subplots()
    ax.bar(range(number + 1), range(1, number + 2), color=f"C{number}")
    ax.set_title(f"Figure {number} of 3")
    fig.savefig(f"figure_{number}.png")
    plt.close(fig)
