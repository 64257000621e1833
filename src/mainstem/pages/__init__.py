"""The web page. It uses only the calls that the API offers."""

from mainstem.pages.page import render
from mainstem.pages.routes import routes

__all__ = ["render", "routes"]
