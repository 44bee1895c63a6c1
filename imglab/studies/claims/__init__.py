"""Claims of papers as contracts: what was run, what must hold, and the result with its interval."""
