"""What became of mails that a server had taken: reports of bounces, delays and complaints."""
