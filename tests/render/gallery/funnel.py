from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

stages = {"visits": 1000, "baskets": 420, "orders": 180, "returns": 30}
figure = Figure(figsize=(5, 3), dpi=90)
ax = figure.add_subplot()
for row, (stage, count) in enumerate(stages.items()):
    ax.barh(row, count, left=-count / 2, color="cornflowerblue")
    ax.text(0, row, f"{stage}: {count}", ha="center", va="center")
ax.invert_yaxis()
ax.set_axis_off()
FigureCanvasAgg(figure).print_png("funnel.png")
