"""Pure functions and small types that every other package builds on. They use no database and no request."""
