"""Pages over the same calls that the API offers."""

from mainstem.web.page import render
from mainstem.web.routes import routes

__all__ = ["render", "routes"]
