"""The run directory: layout, files, hashes, reading, writing, verifying."""
