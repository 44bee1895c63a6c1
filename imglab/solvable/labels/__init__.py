"""Points with labels, and a verifier of tunable quality."""
