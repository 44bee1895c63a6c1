"""`imglab push` and `pull`: runs, models and samples on the hub, or in a folder that is shared."""
