"""What runs hold and compute as training sets grow: counted, extrapolated, and measured in part."""
