"""The outbox: mails are written in the transaction that causes them, and sent by a job afterwards."""
