"""What is wrong with a results folder, and what this machine has."""
