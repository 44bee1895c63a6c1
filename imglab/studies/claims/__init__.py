"""Claims of papers, run again and judged by their intervals."""
