"""Tables, charts and SVG -> a veRL data set: everything that happens before the reward path begins.

    images or code --render--> references --make_row--> train.parquet and test.parquet --VerlCheck--> rows that veRL loads

`sources` finds items in files, and `pubtabnet` finds those of PubTabNet. `build` renders the items that have code, splits
them and writes the files. `rows` defines what one row holds, `prompts` what the policy is asked. `check` loads every row as
veRL will. `row_contract` tells whether a row fits a run. `command` is the command line of the scripts in data_prep/.
"""
