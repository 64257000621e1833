"""From a declared feature view to its normal form, which every interpreter starts from."""
