"""Diffusion models: noise and its removal, networks, fitting, drawing."""
