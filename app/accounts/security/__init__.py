"""What protects an account besides its password: passkeys and second factors."""
