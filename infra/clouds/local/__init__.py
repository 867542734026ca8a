"""The local cloud: real folders and real processes on this machine, kept by real resources."""

from typing import Any

from infra.contracts import Cloud

__all__ = ["cloud"]


def cloud(platform: str) -> Cloud[Any, Any]:
    """The local components; `process` is the only platform here."""
    from infra.clouds.local import _paths, absent, network, observability, process, storage

    return {
        "process": Cloud(
            store_uri=lambda config: _paths.store_folder(config).as_uri(),
            options=lambda _: None,
            keys=absent.Keys,
            network=network.Network,
            alerts=absent.Alerts,
            object_store=storage.ObjectStore,
            image_registry=absent.ImageRegistry,
            identity=absent.Identity,
            platform=process.Platform,
            tracking=process.Tracking,
            jobs=absent.Jobs,
            endpoint=process.Endpoint,
            observability=observability.Observability,
            budget=absent.Budget,
        )
    }[platform]
