"""Small programs that build what the project itself needs."""
