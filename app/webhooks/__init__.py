"""Webhooks: tell a portal's own systems what happens to its clients. They are signed as Standard Webhooks defines."""
