"""What a training run needs beside the reward: its ledger, the replay buffer, and a clean stop."""
