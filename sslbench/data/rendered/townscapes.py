"""Six scenes made by people, outdoors and indoors. See landscapes.py for what a scene is."""

import numpy as np

from sslbench.data.draws import Draws, Floats
from sslbench.data.rendered.grid import blend, clipped, clouds, column, length, plane, ramp, rgb
from sslbench.data.rendered.landscapes import edge, line, sky, tone


def skyline(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    picture = sky(draws, size)
    for layer in range(2):
        houses = 7 - 2 * layer
        heights = draws.between(f"heights/{layer}", 0.1, 1.0, houses)
        shades = draws.between(f"shades/{layer}", 0.55, 1.1, houses)
        number = np.clip(((x + 1) / 2 * houses).astype(np.int64), 0, houses - 1)[0, 0]  # size
        roof = 0.75 - heights[:, None, number] * (1.45 - 0.55 * layer)  # N x 1 x size
        wall = tone(draws, f"wall/{layer}", (-0.1, 0.7), (0.05, 0.35), (0.35, 0.75))
        wall = wall * (shades[:, None, number, None] * (0.75 - 0.2 * layer))
        windows = (np.sin(np.pi * 9 * (x + 1)) > 0.2) & (np.sin(np.pi * 8 * y) > 0.1)
        lamp = tone(draws, "lamp", (0.1, 0.16), (0.1, 0.5), (0.7, 1.0))
        wall = blend(wall, lamp, (0.65 * windows * (layer == 1)).astype(np.float32))
        picture = blend(picture, wall, edge(roof - y, size))
    return blend(picture, tone(draws, "quay", (0, 1), (0, 0.2), (0.2, 0.5)), edge(0.8 - y, size))


def street(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    horizon = column(draws.between("horizon", -0.2, 0.1))
    away = x - column(draws.between("vanishing", -0.3, 0.3))
    picture = sky(draws, size)
    for side in (-1, 1):
        near = np.maximum(side * away, 0.02)  # walls grow with their distance from the middle
        height = column(draws.between(f"height/{side}", 0.6, 1.3))
        foot = column(draws.between(f"foot/{side}", 0.45, 0.7))
        wall = tone(draws, f"wall/{side}", (-0.1, 0.7), (0.05, 0.45), (0.4, 0.85))
        doors = 0.85 + 0.15 * np.sign(np.sin(5 / near))
        storeys = 0.9 + 0.1 * np.sign(np.sin(9 * (y - horizon) / near))
        inside = np.maximum(y - horizon - foot * near, horizon - height * near - y)
        inside = np.maximum(inside, 0.12 - side * away)
        picture = blend(picture, wall * (doors * storeys)[..., None], edge(inside, size))
    below = y - horizon
    road = tone(draws, "road", (0, 1), (0, 0.12), (0.25, 0.55))
    pavement = tone(draws, "pavement", (0, 0.2), (0.05, 0.25), (0.5, 0.8))
    flank = 0.62 + column(draws.between("flank", 0, 0.25))
    outside = np.maximum(np.abs(away) * 0.55 - below, -below)
    picture = blend(picture, pavement, edge(outside, size))
    lane = np.maximum(np.abs(away) - below * flank * 1.1, -below)
    picture = blend(picture, road, edge(lane, size))
    dashes = np.sin(4 / np.maximum(below, 0.05) + column(draws.between("dashes", 0, 6))) > 0
    middle = edge(np.abs(away) - 0.06 * below, size) * dashes * (below > 0.05)
    return blend(picture, np.full(3, 0.92, dtype=np.float32), middle.astype(np.float32))


def village(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    ground = column(draws.between("ground", 0.15, 0.45)) + 0.08 * line(draws, "ground", size, 3)
    grass = tone(draws, "grass", (0.12, 0.38), (0.3, 0.65), (0.4, 0.75))
    grass = grass * (0.75 + 0.5 * clouds(draws, "grass", size, 5))[..., None]
    picture = blend(sky(draws, size), grass, edge(ground - y, size))
    for k in range(3):
        half = column(draws.between(f"half/{k}", 0.2, 0.32))
        wall_height = column(draws.between(f"wall/{k}", 0.22, 0.4))
        u = x - (k - 1) * 0.62 - column(draws.between(f"place/{k}", -0.12, 0.12))
        v = y - column(draws.between(f"foot/{k}", 0.35, 0.65))  # 0 at the foot, negative above
        wall = np.maximum(np.abs(u) - half, np.maximum(v, -v - wall_height))
        roof = np.maximum((np.abs(u) - half * 1.2) * 0.7 - (v + wall_height) * 0.7, v + wall_height)
        door = np.maximum(np.abs(u - 0.3 * half) - 0.06, np.maximum(v, -v - 0.2))
        pane = np.maximum(np.abs(u + 0.4 * half) - 0.06, np.abs(v + 0.6 * wall_height) - 0.06)
        plaster = tone(draws, f"plaster/{k}", (0.0, 0.2), (0.05, 0.4), (0.65, 0.95))
        tiles = tone(draws, f"tiles/{k}", (-0.05, 0.1), (0.4, 0.8), (0.35, 0.65))
        picture = blend(picture, plaster, edge(wall, size))
        picture = blend(picture, tiles, edge(roof, size))
        picture = blend(picture, 0.3 * plaster, edge(np.minimum(door, pane), size))
    return picture


def bridge(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    surface = column(draws.between("surface", 0.25, 0.55))
    deck = column(draws.between("deck", -0.25, 0.1))
    water = tone(draws, "water", (0.42, 0.65), (0.2, 0.6), (0.3, 0.65))
    glint = 0.07 * np.sin(30 * y + 8 * clouds(draws, "glint", size))
    hills = surface - 0.15 - 0.12 * line(draws, "hills", size, 4)
    bank = tone(draws, "bank", (0.15, 0.4), (0.2, 0.5), (0.3, 0.6))
    picture = blend(sky(draws, size), bank, edge(hills - y, size))
    picture = blend(picture, water + glint[..., None], edge(surface - y, size))
    stone = tone(draws, "stone", (-0.05, 0.15), (0.05, 0.5), (0.3, 0.75))
    span = column(draws.between("span", 0.55, 0.9))
    phase = column(draws.uniform("phase"))
    place = (x / span + phase - np.floor(x / span + phase) - 0.5) * span  # 0 in mid-span
    rise = np.maximum(surface + 0.08 - deck - 0.14, 0.15)
    hollow = length(place / (0.42 * span), (y - surface - 0.08) / rise) - 1
    body = np.maximum(deck - y, y - surface - 0.08)
    rail = np.abs(y - deck + 0.07) - 0.03
    picture = blend(picture, stone, edge(np.maximum(body, -hollow * 0.3), size))
    return blend(picture, 0.55 * stone, edge(rail, size))


def room(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    half_x, half_y = (column(draws.between(f"wall/{k}", 0.4, 0.65)) for k in "xy")
    u = (x - column(draws.between("middle/x", -0.2, 0.2))) / half_x
    v = (y - column(draws.between("middle/y", -0.25, 0.1))) / half_y
    paper = tone(draws, "paper", (0, 1), (0.05, 0.4), (0.55, 0.9))
    boards = tone(draws, "boards", (0.02, 0.14), (0.2, 0.6), (0.3, 0.7))
    grain = 0.85 + 0.15 * np.sign(np.sin(7 * u / np.maximum(v, 1)))
    picture = np.broadcast_to(paper, (*u.shape, 3))
    side = edge(np.abs(v) - np.abs(u), size) * edge(1 - np.abs(u), size)
    picture = blend(picture, 0.78 * paper, side)
    over = edge(np.abs(u) + v, size) * edge(1 + v, size)
    picture = blend(picture, np.full(3, 0.92, dtype=np.float32), over)
    floor = edge(np.abs(u) - v, size) * edge(1 - v, size)
    picture = blend(picture, boards * grain[..., None], floor)
    frame_u = u - column(draws.between("frame", -0.4, 0.4))
    frame = np.maximum(np.abs(frame_u) - 0.38, np.abs(v + 0.3) - 0.36)
    view = tone(draws, "view", (0.4, 0.7), (0.1, 0.5), (0.75, 1.0))
    picture = blend(picture, 0.45 * boards, edge(frame * 0.5, size))
    picture = blend(picture, view, edge((frame + 0.1) * 0.5, size))
    bed_u = u - column(draws.between("bed", -0.6, 0.6))
    bed = np.maximum(np.abs(bed_u) - 0.55, np.maximum(0.65 - v, v - 1.35))
    cloth = tone(draws, "cloth", (0, 1), (0.3, 0.8), (0.4, 0.85))
    cloth = cloth * np.where(v < 0.85, 1.15, 0.8)[..., None]
    return clipped(blend(picture, cloth, edge(bed * 0.5, size)))


def shelves(draws: Draws, size: int) -> Floats:
    x, y = plane(size)
    boards = 3 + draws.integers("boards", 2)  # N, shelves in the picture
    level = (y + 1) / 2 * column(boards.astype(np.float32)) + column(draws.uniform("level"))
    row = np.floor(level).astype(np.int64)  # N x size x 1 in effect
    up = level - row  # 0 under the board above, 1 on the board
    goods = 14
    shift = draws.uniform("shift", 6)[np.arange(len(draws))[:, None, None], row]
    number = ((x + 1) / 2 * 0.75 * goods + 3 * shift).astype(np.int64) % goods
    pick = (np.arange(len(draws))[:, None, None], row, number)
    height = draws.between("height", 0.35, 0.85, 6, goods)[pick]
    hue, value = (
        draws.uniform("hue", 6, goods)[pick],
        draws.between("v", 0.35, 0.95, 6, goods)[pick],
    )
    saturation = draws.between("s", 0.1, 0.8, 6, goods)[pick]
    back = tone(draws, "back", (0, 1), (0.05, 0.35), (0.2, 0.5))
    wood = tone(draws, "wood", (0.02, 0.14), (0.2, 0.6), (0.45, 0.85))
    picture = np.broadcast_to(back, (*pick[2].shape, 3))
    there = (draws.uniform("there", 6, goods)[pick] < 0.88) & (up > 1 - height)
    spine = 0.8 + 0.2 * ramp(np.sin(2 * np.pi * 0.75 * goods * (x + 1) / 2), -0.8, 0.2)
    picture = blend(picture, rgb(hue, saturation, value * spine), there.astype(np.float32))
    return blend(picture, wood, ramp(np.abs(up - 0.5), 0.40, 0.46))
