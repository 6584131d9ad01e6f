"""The table and the plot of `compare.py`: text in, text out."""

import dataclasses
import html
import math
import os
import pathlib
import platform
import re

COLOURS = {"localtrail": "#1f6f5c", "nginx": "#8a8f98", "moto_server": "#b5651d", "ministack": "#6a5acd"}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 480, 270, 150, 44, 40


@dataclasses.dataclass
class Row:
    """A figure, what it is compared with, and what was wished for: `goal` is a text and whether it holds."""

    what: str
    ours: str
    other: str = "—"
    ratio: float | None = None
    goal: tuple[str, bool] | None = None

    def cells(self):
        ratio = "—" if self.ratio is None else f"{self.ratio:.3g}"
        goal, holds = ("—", "—") if self.goal is None else (self.goal[0], "yes" if self.goal[1] else "**no**")
        return [self.what, self.ours, self.other, ratio, goal, holds]


HEAD = ["what", "localtrail", "the other", "ratio", "goal", "holds?"]


def at_most(value, limit, unit):
    return f"≤ {limit} {unit}", value <= limit


def at_least(value, limit, unit=""):
    return f"≥ {limit} {unit}".strip(), value >= limit


def table(head, rows):
    """Markdown that also reads well in a terminal."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def machine():
    """What the figures depend on: nothing that tells whose machine it is."""
    model = re.search(r"model name\s*: (.+)", pathlib.Path("/proc/cpuinfo").read_text())
    cores = os.cpu_count()
    return f"{cores} cores, {model.group(1) if model else platform.machine()}, Linux {platform.release().split('-')[0]}"


def short(value):
    """Three digits, thousands set apart."""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def text(x, y, words, anchor="start", size=12, colour="#222", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(words)}</text>'
    )


def line(x1, y1, x2, y2, colour="#ddd", dashes=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dashes}"/>'


def bars(title, axis, values, goal=None, log=False):
    """A panel of horizontal bars `[(name, value)]`; `axis` names the unit, a dashed line shows the goal."""
    if not values:
        return text(0, 18, f"{title}: not measured", size=13, weight="bold")
    right, bottom = WIDTH - 60, HEIGHT - BOTTOM
    reached = [value for _, value in values] + ([goal] if goal else [])
    low, high = (10 ** math.floor(math.log10(min(reached)) - 0.3), max(reached)) if log else (0, max(reached))

    def place(value):
        share = math.log(value / low) / math.log(high / low) if log else value / high
        return LEFT + (right - LEFT) * share

    drawn = [text(0, 18, title, size=13, weight="bold"), text((LEFT + right) / 2, HEIGHT - 6, axis, "middle", 11)]
    ticks = [10**power for power in range(round(math.log10(low)), 12) if 10**power <= high] if log else scale(high)
    for tick in ticks:
        drawn += [line(place(tick), TOP, place(tick), bottom), text(place(tick), bottom + 14, short(tick), "middle", 10)]
    step = (bottom - TOP) / len(values)
    for index, (name, value) in enumerate(values):
        y, height = TOP + step * (index + 0.15), step * 0.7
        colour = next((colour for known, colour in COLOURS.items() if known in name), COLOURS["nginx"])
        drawn += [
            f'<rect x="{LEFT}" y="{y:.1f}" width="{max(place(value) - LEFT, 1):.1f}" height="{height:.1f}" fill="{colour}"/>',
            text(LEFT - 6, y + height / 2 + 4, name, "end", 11),
            text(place(value) + 5, y + height / 2 + 4, short(value), size=11),
        ]
    if goal:
        drawn += [line(place(goal), TOP - 6, place(goal), bottom, "#c00", "4 3"), text(place(goal), TOP - 9, f"goal {short(goal)}", "middle", 10, "#c00")]
    return "".join(drawn)


def curves(title, across, up, xs, series, goal):
    """A panel of lines `{name: values}` over `xs`, which is drawn logarithmically; names stand where the lines end."""
    left, right, bottom = 50, WIDTH - 155, HEIGHT - BOTTOM
    high = max([goal, *(value for values in series.values() for value in values)]) * 1.1
    drawn = [text(0, 18, title, size=13, weight="bold"), text((left + right) / 2, HEIGHT - 6, across, "middle", 11), text(0, TOP - 8, up, size=11)]

    def place(x, y):
        share = math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) if len(xs) > 1 else 0
        return left + (right - left) * share, bottom - (bottom - TOP) * y / high

    for tick in scale(high):
        y = place(xs[0], tick)[1]
        drawn += [line(left, y, right, y), text(left - 5, y + 4, short(tick), "end", 10)]
    for x in xs:
        drawn.append(text(place(x, 0)[0], bottom + 14, short(x), "middle", 10))
    y = place(xs[0], goal)[1]
    drawn += [line(left, y, right, y, "#c00", "4 3"), text(left + 4, y - 4, f"goal {short(goal)}", size=10, colour="#c00")]
    label = 0
    for index, (name, values) in enumerate(sorted(series.items(), key=lambda pair: -pair[1][-1])):
        colour = f"hsl({index * 360 // len(series)} 55% 38%)"
        points = [place(x, value) for x, value in zip(xs, values)]
        drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>' for x, y in points]
        label = max(label + 11.5, min(points[-1][1] + 4, bottom - 11.5 * (len(series) - index)))
        drawn += [line(points[-1][0] + 3, points[-1][1], right + 14, label - 3, colour), text(right + 17, label, name, size=9.5, colour=colour)]
    return "".join(drawn)


def scale(high):
    """A handful of round numbers from 0 to `high`."""
    step = 10 ** math.floor(math.log10(high))
    step = next(own for own in (step / 5, step / 2, step, step * 2) if high / own <= 6)
    return [step * index for index in range(int(high / step) + 1)]


def plot(panels, note):
    """An SVG of the panels, two in a row."""
    gap = 30
    wide, high = 2 * WIDTH + 3 * gap, (len(panels) + 1) // 2 * (HEIGHT + gap) + gap + 16
    drawn = [
        f'<g transform="translate({gap + index % 2 * (WIDTH + gap)} {gap + index // 2 * (HEIGHT + gap)})">{panel}</g>'
        for index, panel in enumerate(panels)
    ]
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" font-family="sans-serif">'
    return "\n".join([frame, f'<rect width="{wide}" height="{high}" fill="#fff"/>', *drawn, text(gap, high - 12, note, size=11), "</svg>", ""])
