"""Two sets of samples, from files, the hub or runs, scored against each other."""
