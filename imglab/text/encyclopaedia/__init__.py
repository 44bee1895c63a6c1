"""The encyclopaedia: written from a seed, so that what texts say can be checked."""
