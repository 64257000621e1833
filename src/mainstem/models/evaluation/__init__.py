"""Compare candidates and measure the chosen one."""
