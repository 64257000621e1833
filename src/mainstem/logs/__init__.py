"""The records of events and predictions: the only place that encodes and decodes what a log holds."""
