"""Sinks: rows that a release has and a target lacks, and the kinds of targets, one module each."""
