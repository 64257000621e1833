"""Decisions: a rule over request, features and score, compiled for requests and for logged rows alike."""
