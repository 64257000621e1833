"""The command line: every command parses, makes one call on the project, and renders the result."""
