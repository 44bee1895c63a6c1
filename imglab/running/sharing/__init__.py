"""`imglab push` and `pull`: runs, models and samples on the hub."""
