"""The queue behind mails and webhooks. Rows are processed under leases, by one bookkeeping thread and many senders."""
