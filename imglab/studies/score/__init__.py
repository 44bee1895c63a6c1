"""Two sets of samples, given as files, hub data sets or runs, scored against each other."""
