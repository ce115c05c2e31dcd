"""The queue that mails and webhooks share: rows under leases, worked off by a thread that keeps the books of others."""
