"""Scores one reply with the local judge and prints its report. Run it from the checkout."""

import asyncio
from pathlib import Path

from visual_erm import score_reply

folder = Path(__file__).parent / "table"
reply = (folder / "reply_wrong.txt").read_text(encoding="utf-8")
result = asyncio.run(score_reply("table", reply, folder / "reference.png", judge="local"))
print(f"reward {result.reward:g}, severity {result.severity:g} {result.reason}")
for found in result.report.discrepancies if result.report else ():
    print(f"{found.severity} {found.category}: {found.description}")
