"""The report of a version: one HTML page with pictures, Markdown, and JSON."""

from mainstem.models.report.report import Report

__all__ = ["Report"]
