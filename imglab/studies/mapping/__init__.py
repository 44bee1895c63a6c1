"""Maps: where chains hold and where they collapse, and the boundary between."""
