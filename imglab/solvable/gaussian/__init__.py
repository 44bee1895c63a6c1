"""The exactly solvable modality: normal vectors, and models that are refitted to them."""
