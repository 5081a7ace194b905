"""What people see: console views and pages. Consumes events and findings, never starts anything."""
