"""The other solvable modality: draws from K categories, of which the rare ones die first."""
