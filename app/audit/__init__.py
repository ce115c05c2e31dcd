"""The audit trail of each portal: who did what, when. Recording, erasing, keeping, and the page that shows it."""
