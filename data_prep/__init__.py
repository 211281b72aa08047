"""Scripts that turn tables, charts and SVG into veRL data sets; in the wheel they are `visual_erm.data_prep`."""
