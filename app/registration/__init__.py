"""What an invitee does: registering, verifying the e-mail, accepting."""
