"""Telling a portal's own systems what happens to its clients: webhooks, signed as Standard Webhooks has it."""
