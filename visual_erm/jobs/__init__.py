"""Long jobs over many rows: results are added line by line, and the same command goes on after a stop."""
