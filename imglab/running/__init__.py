"""From a config to a finished run: build, check, run, resume, fork, export."""
