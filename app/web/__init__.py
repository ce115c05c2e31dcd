"""What all views share: how they answer, and what each answer carries."""
