"""Models for tests and demos: small enough for a CPU, of the same classes as the real ones."""
