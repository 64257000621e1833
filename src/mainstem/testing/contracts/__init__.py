"""Contract suites: what every adapter of a port must do, as pytest classes to subclass.

Each class names in its docstring the fixtures that a subclass must define; the built-in adapters pass the same suites.
"""
