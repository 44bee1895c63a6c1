"""The exactly solvable modality: vectors from a normal distribution, refitted to what was drawn."""
