"""What tests with Spark share."""

import pytest

WARNINGS = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # py4j's, to the Java process
    pytest.mark.filterwarnings("ignore:The 'future.infer_string' option"),  # pyspark 4.1 sets it for pandas
]
