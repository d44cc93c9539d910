"""What is counted and added up, and the instruments that read it."""
