"""A policy behind servers: what writes the code when nobody trains it."""
