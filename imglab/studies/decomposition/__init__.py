"""The three errors of a chain, told apart by interventions: a factorial design and its effects."""
