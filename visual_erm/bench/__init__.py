"""VC-RewardBench: how well a judge finds what a person found."""
