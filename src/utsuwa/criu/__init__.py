"""Talking to CRIU, which freezes a container into files and makes it again of them (criu(8), criu.org/RPC).

By RPC and not by its command line: only the service tells in the middle of its work that namespaces stand, that a
terminal has lost its master, or that the restored process is about to run, and waits for an answer. Its protocol is
protobuf in a seqpacket socket; the two dozen fields that a runtime needs take less code than a generated module.
"""
