"""Pairs of inputs and a response, and ridge regression on them."""
