"""Counts with one parameter: Bernoulli and Poisson draws."""
