"""What is said to the relay, when, and how it is written."""
