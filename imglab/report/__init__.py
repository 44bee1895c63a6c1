"""What is made of finished generations for a reader: page, figures, tables, notebook views."""
