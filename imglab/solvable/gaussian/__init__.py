"""Vectors from a normal distribution or a mixture, and models of them."""
