import matplotlib.pyplot as plt

plt.rcParams["mathtext.fontset"] = "cm"
fig, ax = plt.subplots(figsize=(5, 3))
formulas = [
    r"$\int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2}$",
    r"$\sum_{n=1}^{\infty} \frac{1}{n^2} = \frac{\pi^2}{6}$",
    r"$\hat{\beta} = (X^\top X)^{-1} X^\top y$",
    r"$\mathcal{F}\{f\}(\omega),\ \mathbb{R}^n,\ \alpha_{i_j}$",
]
for row, formula in enumerate(formulas):
    ax.text(0.5, 0.85 - 0.25 * row, formula, ha="center", fontsize=16)
ax.axis("off")
plt.show()
