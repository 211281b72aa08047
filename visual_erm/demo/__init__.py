"""The demo: small problems, a tiny policy that learns them in veRL on a CPU, and the report of what happened.

`run` is the entry of `make demo`. `tiny_problem` describes a problem. `tiny_tables`, `tiny_charts` and `tiny_svgs`
define one each, and `tiny_tasks` makes tasks of them. `package_tables`, `package_charts`, `package_icons` and
`synthetic_drawings` are sources of items that need no download, for the scripts in data_prep/.
"""
