"""What the policy is asked by default, by the language that it is to write. `<image>` stands for the image."""

from __future__ import annotations

from visual_erm.spec.task import Task

PROMPTS = {
    "html": """\
<image>
Transcribe the table in this picture as HTML. Write a single <table>: one <tr> per row, <th> for header cells and <td> for \
all others, with rowspan and colspan where cells are merged. Copy every text and number exactly as it is shown, and leave \
empty cells empty. Answer with the HTML in one ```html block and nothing else.""",
    "markdown": """\
<image>
Transcribe the table in this picture as a Markdown table: the header row, the row of dashes, then one line per row. Copy \
every text and number exactly as it is shown, and leave empty cells empty. Answer with the table in one ```markdown block \
and nothing else.""",
    "python": """\
<image>
Write a Python script that draws the chart in this picture with matplotlib. Match what it shows: the kind of plot and the \
arrangement of its panels, every value as closely as you can read it, all titles, labels, ticks and legends word for word, \
and the colours, markers, line styles and proportions. You may use numpy, pandas, scipy and seaborn as well, but no files \
and no network: write the data into the script. Answer with the whole script in one ```python block and nothing else.""",
    "svg": """\
<image>
Write an SVG document that draws this picture. Match every shape in its place, size, colour and stroke, what lies over \
what, and any text word for word. Give the <svg> element xmlns="http://www.w3.org/2000/svg" and a viewBox, and refer to \
nothing outside of the document. Answer with the whole document in one ```svg block and nothing else.""",
}


def default_prompt(task: Task) -> str:
    """The prompt for the language that the task prefers."""
    return PROMPTS[task.languages[0]]
