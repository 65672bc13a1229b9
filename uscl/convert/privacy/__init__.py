"""What is written of the people in the clips."""
