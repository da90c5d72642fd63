"""Pictures of a suite out of its records, its plan, its tables and the logs of its trainings."""
