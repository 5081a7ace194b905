"""What the user decides: pure Pydantic, one file a section. No I/O, no clock, no environment."""
