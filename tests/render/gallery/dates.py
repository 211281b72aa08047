import datetime

import matplotlib.dates as mdates
import matplotlib.pyplot as plt

start = datetime.date(2023, 1, 15)
days = [start + datetime.timedelta(days=9 * k) for k in range(40)]
fig, (top, bottom) = plt.subplots(2, figsize=(6, 4))
top.plot(days, [k % 7 + k / 5 for k in range(40)])
top.xaxis.set_major_locator(mdates.MonthLocator(interval=2))
top.xaxis.set_major_formatter(mdates.DateFormatter("%b %Y"))
bottom.step(days, range(40), where="mid")
bottom.xaxis.set_major_formatter(mdates.ConciseDateFormatter(bottom.xaxis.get_major_locator()))
bottom.axvspan(days[10], days[20], color="orange", alpha=0.3)
fig.autofmt_xdate()
