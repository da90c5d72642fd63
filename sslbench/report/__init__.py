"""Records to tables, pictures and pages. Imports no torch."""
