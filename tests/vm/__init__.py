"""A small virtual machine with cgroup v2 and Debian's kernel, to run tests in that this host can't run."""
