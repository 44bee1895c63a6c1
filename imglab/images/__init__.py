"""Images: real data, diffusion models and autoencoders, features, grids."""
