"""A package that adds to Mainstem by entry points."""
