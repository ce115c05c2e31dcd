"""How services use the database: the engine, transactions, batches, bulk inserts and rate limits."""
