"""Images: real data, diffusion models and autoencoders, feature extractors, grids."""
