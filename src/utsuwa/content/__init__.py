"""The content-addressed store: blobs that are what their digest says, taken in while they are verified."""
