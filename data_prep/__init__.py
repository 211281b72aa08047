"""Scripts that turn tables into veRL data sets; in the wheel they are `visual_erm.data_prep`."""
