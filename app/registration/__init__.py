"""The invitee's actions: registering, verifying the e-mail address, accepting."""
