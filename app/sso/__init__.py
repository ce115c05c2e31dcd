"""Single sign-on: a host shell hands a person over in a signed token that can be used once."""
