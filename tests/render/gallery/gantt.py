import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import pandas as pd

tasks = pd.DataFrame(
    {
        "task": ["dig", "build", "paint"],
        "start": ["2024-01-03", "2024-01-20", "2024-03-01"],
        "end": ["2024-01-25", "2024-03-05", "2024-03-20"],
    }
)
tasks["start"], tasks["end"] = pd.to_datetime(tasks["start"]), pd.to_datetime(tasks["end"])
fig, ax = plt.subplots(figsize=(7, 2.5))
for row, task in tasks.iterrows():
    ax.barh(task["task"], task["end"] - task["start"], left=task["start"], height=0.4, color=f"C{row}")
ax.xaxis.set_major_locator(mdates.WeekdayLocator(byweekday=mdates.MO, interval=2))
ax.xaxis.set_major_formatter(mdates.DateFormatter("%d %b"))
ax.invert_yaxis()
ax.grid(axis="x", alpha=0.4)
plt.show()
