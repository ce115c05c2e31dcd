"""What protects an account besides its password: the second factor, and passkeys."""
