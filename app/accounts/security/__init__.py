"""The second factor: what is asked for after the password, and how its owner sets it up."""
