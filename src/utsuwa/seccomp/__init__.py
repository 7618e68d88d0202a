"""System call filters: OCI seccomp profiles compiled to classic BPF, and the engine's own default profile.

Own code rather than libseccomp: that costs 4-5 ms a container, this less than one.
"""
