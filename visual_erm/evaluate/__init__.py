"""How good a policy is: its replies to a test set are scored, reported, compared, and scored again in another way."""
