"""From a service and all that it refers to, to children and status: pure, same input, same bytes.

:func:`render` gives the children, :func:`ome.rendering.status.build` the status. Both take what is
observed, so that nothing here looks at a cluster or a clock.
"""

from ome.rendering.errors import RenderError
from ome.rendering.facts import (
    Capabilities,
    Child,
    Component,
    Observed,
    Rendered,
    RenderInput,
    Settings,
)
from ome.rendering.render import render

__all__ = [
    "Capabilities",
    "Child",
    "Component",
    "Observed",
    "RenderError",
    "RenderInput",
    "Rendered",
    "Settings",
    "render",
]
