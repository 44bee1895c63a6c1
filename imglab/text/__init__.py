"""Text: language models that continue real text, and then their own."""
