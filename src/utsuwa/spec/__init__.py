"""The words that utsuwa is written in: OCI documents and user requests as typed, frozen records."""
