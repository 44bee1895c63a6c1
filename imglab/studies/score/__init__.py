"""Two sets of samples, from files, the hub or runs, and how they score."""
