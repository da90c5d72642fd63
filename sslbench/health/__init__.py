"""Whether a pre-training went well, in one word, and the signals that it was told by."""
