"""The encyclopaedia: written from a seed, so that what a text says can be checked."""
