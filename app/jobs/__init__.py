"""The scheduled jobs: a table of names, intervals and functions, and the scheduler that runs them."""
