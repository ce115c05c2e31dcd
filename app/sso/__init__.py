"""The hand-over: a host shell says who is asking, in a signed token that is used once."""
