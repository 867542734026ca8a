"""The local cloud: real folders and real processes on this machine, kept by real resources."""

from infra.contracts import Cloud

__all__ = ["cloud"]


def cloud(platform: str) -> Cloud:
    """The local components; `process` is the only platform here."""
    from infra.clouds.local import _paths, network, observability, process, storage

    return {
        "process": Cloud(
            store_uri=lambda config: _paths.store_folder(config).as_uri(),
            network=network.Network,
            object_store=storage.ObjectStore,
            platform=process.Platform,
            tracking=process.Tracking,
            endpoint=process.Endpoint,
            observability=observability.Observability,
        )
    }[platform]
