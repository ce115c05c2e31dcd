"""How services use the database: the engine, transactions, batches, bulk inserts, and limits on how often."""
