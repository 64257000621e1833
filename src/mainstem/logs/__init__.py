"""Records of events and predictions. Only this package encodes and decodes log entries."""
