"""What a reader sees of finished runs: page, figures, tables, notebooks."""
