"""Whether a sender's domain lets our mails arrive: its SPF, DKIM, DMARC and MX records, and what to set there."""
