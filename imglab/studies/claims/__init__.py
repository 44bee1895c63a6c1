"""Claims of papers as contracts: what was run, what must hold, and what came out here, with its interval."""
