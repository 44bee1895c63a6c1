"""Text: corpora, language models and n-grams, features, sheets."""
