"""What all views share: how they answer, and the headers and cookies of every answer."""
