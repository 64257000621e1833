"""Features: declared once, equal in batch, on a stream and at request time.

    views/      what a user declares, brought to its normal form: events, and features over their columns
    algebra/    what a window is reduced to: partials that merge, in words that every interpreter speaks
    offline/    the interpreter for many queries at once: one Ibis query
    online/     the interpreter for one query now: events per key in a store, kept up by a stream
    rowwise/    expressions of one row, as Python closures that answer as the engine does

On top of these, `retrieval` says how a model's features are found, `dataset` joins them to examples, `leaks` looks for
the future in them; `materialise` brings a view from the lake online, `parity` compares what was served with what should
have been, `discovery` describes a view.
"""
