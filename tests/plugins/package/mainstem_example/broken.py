"""An extension whose own dependency is not installed."""

import library_that_is_absent

Algorithm = library_that_is_absent.Algorithm
