"""What a user writes in YAML: tasks, judges and prompts, read strictly."""
