"""The other solvable modality: draws from a few categories, whose rare ones die first."""
