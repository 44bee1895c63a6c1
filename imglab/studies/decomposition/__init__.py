"""The errors of a chain, told apart by interventions in a factorial design."""
