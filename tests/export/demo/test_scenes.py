"""Scenes are deterministic, every object has its stated place and color, and photos of scenes stay readable."""

from __future__ import annotations

import numpy as np
import pytest

from mobilevlm_export.demo.scenes import COLORS, PLACES, make_scene, regions, render


def test_a_seed_determines_everything() -> None:
    assert make_scene(11) == make_scene(11)
    assert render(make_scene(11)).tobytes() == render(make_scene(11)).tobytes()
    assert render(make_scene(11), camera=True).tobytes() == render(make_scene(11), camera=True).tobytes()
    assert len({make_scene(seed).objects for seed in range(300)}) > 295


def test_objects_are_one_to_four_at_different_places() -> None:
    for seed in range(300):
        objects = make_scene(seed).objects
        places = [item.place for item in objects]
        assert 1 <= len(objects) <= 4
        assert len(set(places)) == len(places)
        assert sum(item.kind == "digit" for item in objects) <= 1
        assert sum(item.kind == "word" for item in objects) <= 1
        assert all(abs(item.x - PLACES[item.place][0]) < 0.05 for item in objects)


@pytest.mark.parametrize("camera", [False, True])
def test_the_color_at_an_objects_center_is_nearest_to_its_own(camera: bool) -> None:
    """For solid shapes; the center of a star or heart is filled too."""
    names, palette = list(COLORS), np.array(list(COLORS.values()), dtype=float)
    right = total = 0
    for seed in range(80):
        scene = make_scene(seed)
        pixels = np.asarray(render(scene, size=200, camera=camera), dtype=float)
        for item in scene.objects:
            if item.kind == "shape":
                x, y = int(item.x * 200), int(item.y * 200)
                seen = pixels[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
                right += names[int(((palette - seen) ** 2).sum(1).argmin())] == item.color
                total += 1
    assert right / total > (0.85 if camera else 0.99)


def test_regions_cover_their_objects_and_nothing_else() -> None:
    scene = make_scene(3)
    covering = regions(scene, 12)
    assert covering.shape == (12, 12)
    assert set(np.unique(covering)) == {-1, *range(len(scene.objects))}
    for index, item in enumerate(scene.objects):
        rows, columns = np.nonzero(covering == index)
        assert abs((columns.mean() + 0.5) / 12 - item.x) < 0.06
        assert abs((rows.mean() + 0.5) / 12 - item.y) < 0.06
