"""The calculus for plain Python values, used by online reads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any


class Scalars:
    """Single Python values. Null is None."""

    def number(self, value: int | float) -> Any:
        return value

    def share(self, a: Any, b: Any) -> Any:
        return a / b if b else 0

    def when(self, condition: Any, value: Any, otherwise: Any = None) -> Any:
        return value if condition else otherwise

    def least(self, a: Any, b: Any) -> Any:
        return b if a is None else a if b is None else min(a, b)

    def greatest(self, a: Any, b: Any) -> Any:
        return b if a is None else a if b is None else max(a, b)

    def root(self, a: Any) -> Any:
        return None if a is None else math.sqrt(a)

    def floor(self, a: Any) -> Any:
        return math.floor(a)

    def halved(self, a: Any) -> Any:
        return 2.0**-a if a > -1024 else math.inf

    def between(self, a: Any, b: Any, share: Any) -> Any:
        return a if a == b else float(a) + (float(b) - float(a)) * share

    def value(self, position: Any) -> Any:
        return None if position is None else position[-1]

    def listed(self, values: Sequence[Any]) -> Any:
        return list(values)

    def merged(self, a: Any, b: Any) -> Any:
        return sorted([*(a or ()), *(b or ())]) or None

    def distinct(self, a: Any) -> Any:
        return a and list(dict.fromkeys(a))

    def head(self, a: Any, k: int) -> Any:
        return a and a[:k]

    def tail(self, a: Any, k: int) -> Any:
        return a and a[-k:]

    def turned(self, a: Any) -> Any:
        return a and a[::-1]

    def values(self, a: Any) -> Any:
        return a and [position[-1] for position in a]

    def size(self, a: Any) -> Any:
        return len(a or ())

    def item(self, a: Any, at: Any) -> Any:
        return a and a[at]

    def commonest(self, a: Any) -> Any:
        return a and max((times, item) for item, times in Counter(a).items())[1]
