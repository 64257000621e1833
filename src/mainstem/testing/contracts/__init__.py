"""Contract suites: the required behaviour of every adapter of a port, as pytest classes to subclass.

The docstring of each class names the fixtures that a subclass must define. The built-in adapters pass the same suites.
"""
