"""Points with labels, a generator of labels, and a verifier of tunable quality."""
