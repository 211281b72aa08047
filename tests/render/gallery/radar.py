import matplotlib.pyplot as plt
import numpy as np

skills = ["speed", "strength", "stamina", "skill", "luck"]
angles = np.linspace(0, 2 * np.pi, len(skills), endpoint=False).tolist()
fig, ax = plt.subplots(figsize=(4, 4), subplot_kw={"polar": True})
for name, values in {"Ann": [4, 3, 5, 2, 4], "Bob": [2, 5, 3, 4, 1]}.items():
    ax.plot(angles + angles[:1], values + values[:1], label=name)
    ax.fill(angles, values, alpha=0.2)
ax.set_thetagrids(np.degrees(angles), skills)
ax.set_ylim(0, 5)
ax.legend(loc="lower right", bbox_to_anchor=(1.2, -0.1))
plt.savefig("radar.png", bbox_inches="tight", pad_inches=0.3)
