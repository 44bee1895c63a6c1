"""Images: real data, diffusion models, feature extractors, grids."""
