"""Points with a label, a generator of labels, and a verifier of tunable quality."""
