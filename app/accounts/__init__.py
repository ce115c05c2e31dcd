"""Who is asking: accounts, passwords, sign-in sessions."""
