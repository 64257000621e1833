"""From a CSV file and a target to a project."""
