"""Tables, charts, SVG -> veRL data set: everything before the path begins.

    images, code, built-in trials --draw--> references --rows--> train and test parquet --check--> veRL

`sources` finds items in files (`pubtabnet` those of PubTabNet), the `builtin_` modules make some without a download,
`build` draws them, splits them and writes the files, `rows` knows what one row holds, `prompts` what the policy is asked,
`check` loads every row as veRL will. `command` is the command line over it, which the scripts in `data_prep/` fill.
"""
