"""Programs that draw: read as they are, walked to every draw and threshold, differentiated in expectation."""
