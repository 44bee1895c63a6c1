"""What is drawn from finished generations: curves, strips, tables."""
