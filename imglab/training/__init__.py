"""What the fits of all networks share: the loop, schedules, LoRA, the hub."""
