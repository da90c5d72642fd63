"""Pure scores of predictions: no models, no files."""
