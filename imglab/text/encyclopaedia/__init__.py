"""The encyclopaedia: invented things, written from a seed, so that statements can be checked."""
