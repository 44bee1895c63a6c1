"""`imglab get`: models and data, fetched once and checked by their hashes."""
