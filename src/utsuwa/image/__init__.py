"""Images: from a registry or an archive into the stores, looked up by name, and what a container starts with.

store = ImageStore("/var/lib/utsuwa")                        # image.store, sync and light: no asyncio, no aiohttp, no
sqlite image = store.resolve("debian:12")                           # Image; NotFound, Conflict for an ambiguous ID
store.list(); store.tag("debian:12", "mine:1"); remove(store, "debian:12", uses={}) image.id, image.names,
image.digests, image.config, image.chain, image.size, image.created

store.snapshotter.prepare(key, image.chain[-1])              # snapshot.snapshotter: a writable tree, "" = from nothing
store.snapshotter.mounts(key)                                # tuple of spec.mount.Mount for CreateOptions.root_mounts
store.snapshotter.remove(key)

await pull(store, "debian:12", platform=None, progress=None) # image.pull, async: imports aiohttp
load_layout(store, path, name=None)                          # image.load, sync: a directory or tar, OCI layout

process_of(image.config, command=(), entrypoint=None, …)     # image.to_spec: arguments, environment, user, working
directory
"""
