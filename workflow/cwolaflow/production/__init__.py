"""Event production: generator events, and what a detector makes of them."""
