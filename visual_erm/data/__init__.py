"""Tables -> veRL data set: everything before the path begins.

    pictures, PubTabNet, markup, packages --draw--> references --rows--> train and test parquet --check--> veRL

`sources` finds tables, `build` draws them, splits them and writes the files, `rows` knows what one row holds, `check` loads
every row as veRL will. `data_prep/tables.py` is the command line over it.
"""
