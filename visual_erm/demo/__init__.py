"""The CPU demo: its problems, its tiny policy and its report."""
