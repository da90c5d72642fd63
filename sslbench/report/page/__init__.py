"""The report: one HTML page of one or several suites, which needs nothing but itself."""
