"""Which releases a stack's endpoint serves now: asked of the endpoint itself, or of the platform that runs it.

A model server says it at `/ready`, also behind a function's URL. Some platforms pass on nothing but rows: they say
themselves what they run.
"""

from ml.endpoint.ask import get
from ml.platform import Observed, platform_of
from ml.runtime import Runtime

__all__ = ["observe"]


def observe(runtime: Runtime) -> Observed:
    """What the stack's endpoint serves; MlopsError when it can't be asked."""
    if found := platform_of(runtime).observe(str(runtime.endpoint_url)):
        return found
    state = get(runtime, "/ready")
    challenger = state.get("challenger") or {}
    tried = [challenger["release"]] if challenger.get("state") == "serving" else []
    return Observed(state.get("release"), tuple(tried))
