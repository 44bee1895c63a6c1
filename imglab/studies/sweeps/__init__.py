"""Arms times seeds beside a real-only control: bands and paired contrasts."""
