"""What all parts build on: pure functions and small types. No database, no request."""
