"""Features of many keys at many times, as one Ibis query over the lake."""
