import matplotlib

matplotlib.use("TkAgg")
import matplotlib.pyplot as plt

answers = [("agree", 52, "seagreen"), ("neither", 21, "silver"), ("disagree", 27, "indianred")]
left = 0
fig, ax = plt.subplots(figsize=(7, 1.8))
for name, share, colour in answers:
    ax.barh(["Question 1"], share, left=left, color=colour, label=name)
    ax.text(left + share / 2, 0, f"{share} %", ha="center", va="center", color="w")
    left += share
ax.set_xlim(0, 100)
ax.legend(ncol=3, loc="upper left", bbox_to_anchor=(0, 1.45))
plt.show()
