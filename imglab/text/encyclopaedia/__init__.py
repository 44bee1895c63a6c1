"""The encyclopaedia: written from a seed, so that texts can be checked."""
