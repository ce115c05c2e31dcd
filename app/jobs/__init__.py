"""The scheduled jobs: one table of name, interval and function."""
