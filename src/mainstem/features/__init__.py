"""Features: declared once, with equal values in batch, on a stream and at request time.

views/      a declared view in its normal form: events, and features over their columns
algebra/    the aggregations: partials that merge, written for every interpreter
offline/    the interpreter for many queries at once: one Ibis query
online/     the interpreter for one query now: events per key in a store, updated by a stream
rowwise/    expressions over one row, as Python closures with the engine's semantics

Above these, `retrieval` orders the lookups of a model's features, `dataset` joins them to examples, and `leaks` finds
features from the future. `materialise` brings a view from the lake online, and `discovery` describes a view.
`mainstem.parity` compares served features with the offline query.
"""
