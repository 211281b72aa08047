"""From a report to a reward: the report's format, the scoring, the fallback for a failed judgement, and the rollout log."""
