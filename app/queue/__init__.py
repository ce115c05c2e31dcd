"""The queue of mails and of webhooks: rows under leases, worked off by one bookkeeping thread and several senders."""
