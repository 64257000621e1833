"""From a dataset to a version."""
