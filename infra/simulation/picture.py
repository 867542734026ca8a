"""A stack's plan as a picture: its components in the order in which they need each other."""

from collections import Counter
from html import escape

from infra.simulation.plan import Component

__all__ = ["draw"]

CARD, ROW, HEAD, GAP, APART, MARGIN, TOP, LANE = 364, 19, 46, 26, 96, 28, 84, 14
SYMBOLS = {"create": "+", "update": "~", "replace": "±", "delete": "−", "same": "="}  # noqa: RUF001 # a minus
COLOURS = {"create": "#1a7f37", "update": "#9a6700", "replace": "#8250df", "delete": "#cf222e", "same": "#6e7781"}
STYLE = """
text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328 }
.title { font-size: 20px; font-weight: 600 } .name { font-size: 14px; font-weight: 600 }
.quiet { fill: #59636e; font-size: 12px } .count { font-weight: 600 }
.card { fill: #fff; stroke: #d1d9e0 } .head { fill: #eef2f6 }
path { fill: none; stroke: #8c959f; stroke-width: 1.4; marker-end: url(#end) }
"""


def draw(stack: str, components: list[Component]) -> str:
    """An SVG: what is needed stands to the left of what needs it; arrows that others imply are left out."""
    layers = _layers(components)
    spots: dict[str, tuple[int, int, int]] = {}  # name → x, y, height
    for column, layer in enumerate(layers):
        y = TOP
        for component in layer:
            height = HEAD + ROW * max(1, len(component.resources)) + 10
            spots[component.name] = (MARGIN + column * (CARD + APART), y, height)
            y += height + GAP
    width = MARGIN * 2 + len(layers) * (CARD + APART) - APART
    bottom = max((y + tall for _, y, tall in spots.values()), default=TOP)
    cards = "".join(_card(component, *spots[component.name]) for component in components)
    arrows, lanes = _arrows(_drawn(components), spots)
    height = bottom + MARGIN + LANE * lanes
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{STYLE}</style><defs><marker id='end' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' "
        f"markerHeight='7' orient='auto'><path d='M0 0L8 4L0 8z' style='fill:#8c959f;stroke:none'/></marker></defs>"
        f'<rect width="100%" height="100%" fill="#f6f8fa"/>'
        f'<text class="title" x="{MARGIN}" y="38">{escape(stack)}</text>'
        f'<text class="quiet" x="{MARGIN}" y="60">{escape(_summary(components))}</text>{arrows}{cards}</svg>\n'
    )


def _summary(components: list[Component]) -> str:
    counted: Counter[str] = Counter()
    for component in components:
        for (action, _), number in component.resources.items():
            counted[action] += number
    parts = [f"{counted[action]} to {action}" for action in SYMBOLS if action != "same" and counted[action]]
    parts += [f"{counted['same']} unchanged"] if counted["same"] else []
    return f"{', '.join(parts) or 'nothing to do'}. Planned by the real engine on simulated clouds, with no account."


def _card(component: Component, x: int, y: int, height: int) -> str:
    rows: list[str] = []
    for line, ((action, type_), number) in enumerate(component.resources.items()):
        at = y + HEAD + ROW * line + 17
        times = f" × {number}" if number > 1 else ""  # noqa: RUF001 # the sign of multiplication
        rows.append(
            f'<text class="count" x="{x + 12}" y="{at}" style="fill:{COLOURS[action]}">{SYMBOLS[action]}</text>'
            f'<text x="{x + 28}" y="{at}">{escape(_short(type_))}<tspan class="count">{times}</tspan></text>'
        )
    nothing = f'<text class="quiet" x="{x + 12}" y="{y + HEAD + 17}">nothing in it yet</text>'
    return (
        f'<g><rect class="card" x="{x}" y="{y}" width="{CARD}" height="{height}" rx="8"/>'
        f'<path d="M{x} {y + HEAD - 6}v-{HEAD - 14}q0 -8 8 -8h{CARD - 16}q8 0 8 8v{HEAD - 14}z" class="head" '
        f'style="fill:#eef2f6;stroke:none;marker-end:none"/>'
        f'<text class="name" x="{x + 12}" y="{y + 18}">{escape(component.name)}</text>'
        f'<text class="quiet" x="{x + 12}" y="{y + 34}">{escape(component.type)}</text>{"".join(rows) or nothing}</g>'
    )


def _arrows(drawn: list[tuple[str, str]], spots: dict[str, tuple[int, int, int]]) -> tuple[str, int]:
    """The paths, and how many of them needed a lane below the cards that they would have crossed."""
    paths: list[str] = []
    lanes = 0
    for start, end in drawn:
        (x1, y1, h1), (x2, y2, h2) = spots[start], spots[end]
        a, b, bend = y1 + h1 / 2, y2 + h2 / 2, APART / 2
        between = [y + tall for x, y, tall in spots.values() if x1 < x < x2]
        if not between:
            paths.append(f'<path d="M{x1 + CARD} {a}C{x1 + CARD + bend} {a} {x2 - bend} {b} {x2} {b}"/>')
            continue
        lanes += 1
        below, left, right = max(between) + LANE * lanes, x1 + CARD + APART, x2 - APART
        paths.append(
            f'<path d="M{x1 + CARD} {a}C{x1 + CARD + bend} {a} {x1 + CARD + bend} {below} {left} {below}H{right}'
            f'C{x2 - bend} {below} {x2 - bend} {b} {x2} {b}"/>'
        )
    return "".join(paths), lanes


def _layers(components: list[Component]) -> list[list[Component]]:
    """Each component one column right of the last that it needs."""
    by_name = {component.name: component for component in components}
    depth: dict[str, int] = {}

    def of(name: str, above: frozenset[str]) -> int:
        if name not in depth:
            needed = [each for each in by_name[name].needs if each in by_name and each not in above]
            depth[name] = max((of(each, above | {name}) + 1 for each in needed), default=0)
        return depth[name]

    for component in components:
        of(component.name, frozenset())
    columns = range(max(depth.values(), default=-1) + 1)
    return [[component for component in components if depth[component.name] == column] for column in columns]


def _drawn(components: list[Component]) -> list[tuple[str, str]]:
    """From needed to needing, without what follows from other arrows."""
    needs = {component.name: component.needs for component in components}

    def reaches(start: str, goal: str, seen: frozenset[str]) -> bool:
        further = needs.get(start, frozenset()) - seen
        return goal in further or any(reaches(each, goal, seen | {start}) for each in further)

    return [
        (needed, name)
        for name in sorted(needs)
        for needed in sorted(needs[name] & needs.keys())
        if not any(reaches(other, needed, frozenset({name})) for other in needs[name] - {needed})
    ]


def _short(type_: str) -> str:
    """`aws:ec2/securityGroup:SecurityGroup` → `ec2 SecurityGroup`; an SDK without modules has its own name there."""
    package, module, name = [*type_.split(":"), "", ""][:3]
    service = module.partition("/")[0]
    return f"{package if service in ('', 'index') else service} {name}"
