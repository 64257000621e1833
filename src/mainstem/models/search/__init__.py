"""Search for better candidates: settings, an ensemble of what was tried, and calibration."""
