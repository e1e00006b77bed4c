"""The domains: which pictures there are, as the mirror of the data sets that the papers used.

Everything about picture `index` of a domain follows from (domain, seed, index); how many are made changes none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import numpy as np

from mien.errors import MienError
from trainer.data.synthetic import chance, home
from trainer.data.synthetic.assets import load_assets
from trainer.data.synthetic.camera import Shot
from trainer.data.synthetic.degrade import Degradation
from trainer.data.synthetic.diary import LARGEST_SHIFT, Diary, make_diary
from trainer.data.synthetic.expression import Expression, blend, blink, draw_prototype, look, make_expression, talk
from trainer.data.synthetic.objects import OBJECTS
from trainer.data.synthetic.occluders import COVERS, cover
from trainer.data.synthetic.person import Person, Population, make_person
from trainer.data.synthetic.prototypes import EXPRESSIONS
from trainer.data.synthetic.studio import Scene

Random = np.random.Generator

_WITHOUT_CONTEMPT = EXPRESSIONS[:-1]
_SEQUENCE_FRAMES = 6
_SEQUENCE_FPS = 5.0
_DIARY_INTERVAL_S = 4.0
_SHIFTED = re.compile(r"person@([01](\.\d{1,3})?|2)")


@dataclass(frozen=True)
class Planned:
    """One picture before it is made: the scene, and labels that the scene does not tell."""

    scene: Scene
    occlusion: str = ""
    sequence: str = ""
    frame: int = 0
    time_s: float = 0.0


Plan = Callable[["Domain", int, int, int], Planned]


@dataclass(frozen=True)
class Domain:
    """A kind of pictures.

    Attributes:
        name: of the domain.
        number: part of every seed; fixed for ever.
        mirrors: the data set it stands in for.
        labels: what its pictures are labelled with; empty where the person is the label.
        count: how many pictures it usually has.
        per_person: pictures in a row of the same person.
        people: how many people there are; 0 as many as are needed.
        population: from whom they are drawn.
        plan: makes the scene of a picture: (seed, index, picture's side).
        shift: how far the individual of `person` differs from people in general (`Diary`).
    """

    name: str
    number: int
    mirrors: str
    labels: tuple[str, ...]
    count: int
    per_person: int
    people: int = 0
    population: Population = field(default_factory=Population)
    plan: Plan | None = None
    shift: float = 1.0

    def person_number(self, index: int) -> int:
        """Who is on a picture."""
        number = index // self.per_person
        return number % self.people if self.people else number

    def person(self, seed: int, index: int) -> Person:
        """The person on a picture."""
        return _person(self.name, seed, self.person_number(index))

    def random(self, seed: int, index: int) -> Random:
        """The picture's own random numbers."""
        return np.random.default_rng([self.number, seed, 1, index])

    def split(self, index: int) -> str:
        """Train (70 %), validation (10 %) or test (20 %): by person, so that nobody is in two.

        `person` has one person only and is split by time: pictures a few seconds apart look alike, so each split is one
        stretch of it. Validation lies between the other two: nothing of the test is within three minutes of training.
        """
        if self.people == 1:
            part = index % self.count / self.count
            return "train" if part < 0.7 else "validation" if part < 0.8 else "test"
        group = self.person_number(index)
        return ("train", "test", "train", "train", "validation", "train", "train", "test", "train", "train")[group % 10]


def find_domain(name: str) -> Domain:
    """The domain of that name.

    `person@0.5` is `person` with a shift of 0.5, the same faces with less of their own. `wild+mask` is `wild`, the same
    pictures with a mask on every face: `trainer.data.synthetic.occluders.COVERS`.

    Raises:
        MienError: there is none; the remedy names those that there are.
    """
    if not is_domain(name):
        raise MienError(
            f"There is no domain {name!r}",
            f"Choose one of: {', '.join(DOMAINS)}; or person@SHIFT with a shift of 0 to {LARGEST_SHIFT:g}; those of "
            f"faces also with {', '.join(f'+{variant}' for variant in COVERS)}, as wild+mask",
        )
    plain, _, variant = name.partition("+")
    base, _, shift = plain.partition("@")
    domain = replace(DOMAINS[base], name=name, shift=float(shift)) if shift else DOMAINS[base]
    if not variant or domain.plan is None:
        return domain
    return replace(domain, name=name, plan=partial(_covered, domain.plan, variant))


def is_domain(name: str) -> bool:
    """Whether there is a domain of that name."""
    plain, plus, variant = name.partition("+")
    if plus and (variant not in COVERS or plain == "objects"):
        return False
    return plain in DOMAINS or _SHIFTED.fullmatch(plain) is not None


def _base(name: str) -> str:
    """Whose faces they are: without shift and cover."""
    return re.split("[@+]", name)[0]


@lru_cache(maxsize=8)
def _person(domain: str, seed: int, number: int) -> Person:
    own = DOMAINS[_base(domain)]
    return make_person(load_assets(), own.population, f"{own.name}-{seed}-{number:05d}", [own.number, seed, 0, number])


@lru_cache(maxsize=8)
def _diary(domain: str, seed: int, number: int) -> Diary:
    own = find_domain(domain)
    return make_diary([own.number, seed, 2, number], own.shift)


def _identity(domain: Domain, seed: int, index: int, side: int) -> Planned:
    """Any expression, pose and light: only who it is stays. `identity_b` is more frontal, with more faults."""
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    is_b = _base(domain.name) == "identity_b"
    expression = _everyday(random, person, EXPRESSIONS, strongest=0.8)
    shot = chance.shot(random, 14 if is_b else 24, 9, (0.42, 0.60), 0.05)
    return _candid(random, person, expression, shot, side, faults=1.0 if is_b else 0.6)


def _wild(domain: Domain, seed: int, index: int, side: int) -> Planned:
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    expression = _everyday(random, person, EXPRESSIONS, strongest=1.0)
    shot = chance.shot(random, 18, 9, (0.46, 0.72), 0.06)
    return _candid(random, person, expression, shot, side, faults=1.0)


def _lab_a(domain: Domain, seed: int, index: int, side: int) -> Planned:
    """Eight sequences a person, one per expression, from neutral to the peak; fixed camera, studio light, grey."""
    person = domain.person(seed, index)
    within = index % domain.per_person
    number, frame = divmod(within, _SEQUENCE_FRAMES)
    label = EXPRESSIONS[number % len(EXPRESSIONS)]
    start = index - frame
    sequence = np.random.default_rng([domain.number, seed, 3, start])  # the same for all frames of the sequence
    prototype, peak = draw_prototype(sequence, label), float(sequence.uniform(0.7, 1.0))
    shot = chance.shot(sequence, 3, 3, (0.50, 0.56), 0.02)
    light, worn = chance.light(sequence, 0.15), chance.glasses(sequence, person)
    background = chance.plain_background(sequence, side)
    progress = frame / (_SEQUENCE_FRAMES - 1)
    intensity = peak * (3 * progress**2 - 2 * progress**3)
    expression = make_expression(sequence, label, prototype, intensity, asymmetry=person.asymmetry, variation=0.1)
    if frame == 0:  # a sequence begins relaxed
        expression = replace(expression, label="neutral", prototype="onset", intensity=0.0, valence=0.0, arousal=0.0)
    drift = domain.random(seed, index).normal(0, 0.5, 2)
    shot = shot._replace(yaw=shot.yaw + float(drift[0]), pitch=shot.pitch + float(drift[1]))
    faults = Degradation(noise=0.008, blur=0.002, is_grey=True)
    scene = Scene(person, expression, shot, light, background, worn, degradation=faults, noise_seed=index)
    name = f"{person.name}-{number:02d}-{label}"
    return Planned(scene, "", name, frame, frame / _SEQUENCE_FPS)


def _lab_b(domain: Domain, seed: int, index: int, side: int) -> Planned:
    """Three stills of each of seven subtle expressions."""
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    label = _WITHOUT_CONTEMPT[(index % domain.per_person) // 3]
    prototype = draw_prototype(random, label)
    expression = make_expression(random, label, prototype, float(random.uniform(0.35, 0.7)), asymmetry=person.asymmetry)
    shot = chance.shot(random, 3, 3, (0.50, 0.56), 0.02)
    background = chance.plain_background(random, side)
    faults = Degradation(noise=0.01, blur=0.003, is_grey=True)
    light = chance.light(random, 0.1)
    return Planned(Scene(person, expression, shot, light, background, degradation=faults, noise_seed=index))


def _one_person(domain: Domain, seed: int, index: int, side: int) -> Planned:
    """One person watching films, a picture every four seconds."""
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    expression = _diary(domain.name, seed, domain.person_number(index)).expression(random, index * _DIARY_INTERVAL_S)
    if random.random() < 0.08:
        expression = blink(expression, float(random.uniform(0.5, 1.0)))
    shot = chance.shot(random, 7, 5, (0.48, 0.56), 0.04)
    room = np.random.default_rng([domain.number, seed, 4, index // 90])  # a new film, another light
    light, background = chance.light(room, 0.4), chance.wild_background(room, side)
    worn = chance.glasses(room, person)
    faults = Degradation(noise=0.01, blur=0.003, jpeg_quality=85)
    scene = Scene(person, expression, shot, light, background, worn, degradation=faults, noise_seed=index)
    return Planned(scene, "", person.name, index, index * _DIARY_INTERVAL_S)


def _everyday(random: Random, person: Person, labels: tuple[str, ...], strongest: float) -> Expression:
    """Any expression at any strength: pure, mixed, while speaking, looking elsewhere; neutral is often ambiguous."""
    label = labels[int(random.integers(len(labels)))]
    intensity = float(random.uniform(0.35, 1.0)) * strongest
    prototype = draw_prototype(random, label)
    expression = make_expression(random, label, prototype, intensity, asymmetry=person.asymmetry)
    mixing, speaking, away = random.random(3)
    if mixing < (0.45 if label == "neutral" else 0.2):
        other = labels[int(random.integers(len(labels)))]
        strength = 0.5 if label == "neutral" else intensity
        second = make_expression(random, other, draw_prototype(random, other), strength, asymmetry=person.asymmetry)
        expression = blend(expression, second, float(random.uniform(0.05, 0.35)))
    if speaking < 0.15:
        expression = talk(random, expression)
    if away < 0.4:
        expression = look(expression, float(random.normal(0, 10)), float(random.normal(0, 7)))
    return expression


def _faces(domain: Domain, seed: int, index: int, side: int) -> Planned:
    """Faces as hard to find landmarks in as any: half of them turned, some cut by the border, covered, or tiny."""
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    expression = _everyday(random, person, EXPRESSIONS, strongest=1.0)
    if random.random() < 0.08:
        expression = blink(expression, float(random.uniform(0.5, 1.0)))
    planned = _candid(random, person, expression, chance.any_shot(random), side, faults=1.0, covered=0.08)
    scene = replace(planned.scene, is_annotated=True)
    if random.random() < 0.2:
        faults = replace(scene.degradation, resolution=float(random.uniform(0.15, 0.4)))
        scene = replace(scene, degradation=faults)
    return replace(planned, scene=scene)


def _home(domain: Domain, seed: int, index: int, side: int) -> Planned:
    random = domain.random(seed, index)
    person = domain.person(seed, index)
    expression = home.draw_expression(random, person)
    planned = _candid(random, person, expression, home.draw_shot(random), side, faults=0.8, covered=0.01)
    scene = planned.scene
    return replace(planned, scene=replace(scene, degradation=home.spoil(random, scene.degradation)))


def _covered(plan: Plan, variant: str, domain: Domain, seed: int, index: int, side: int) -> Planned:
    """The same picture with something before the face; the same throughout a sequence."""
    planned = plan(domain, seed, index, side)
    scene, first = planned.scene, index - planned.frame
    random = np.random.default_rng([domain.number, seed, 5, first])
    covered = cover(random, variant, scene.person, scene.worn, scene.hand)
    if covered is None:
        return planned
    worn, hand, occlusion = covered
    return replace(planned, scene=replace(scene, worn=worn, hand=hand), occlusion=occlusion)


def _candid(
    random: Random, person: Person, expression: Expression, shot: Shot, side: int, faults: float, covered: float = 0.03
) -> Planned:
    """A picture from anywhere: any light and background, sometimes a mask, sunglasses or a hand before the face."""
    light = chance.light(random, 1.0)
    background = chance.wild_background(random, side)
    worn, occlusion = chance.occlusion(random, chance.glasses(random, person, sunglasses=covered), covered)
    hand = chance.hand(random, person) if random.random() < covered + 0.02 else None
    occlusion = "hand" if hand is not None else occlusion
    degradation = chance.camera_faults(random, faults)
    noise_seed = int(random.integers(2**31))
    scene = Scene(person, expression, shot, light, background, worn, hand, degradation, noise_seed)
    return Planned(scene, occlusion)


_LIST = (
    Domain("objects", 1, "ImageNet", OBJECTS, 5_000, 1),
    Domain("identity_a", 2, "VGGFace2", (), 10_000, 20, plan=_identity),
    Domain("identity_b", 3, "MS-Celeb-1M", (), 10_000, 10, plan=_identity),
    Domain(
        "lab_a",
        4,
        "CK+",
        EXPRESSIONS,
        120 * 8 * _SEQUENCE_FRAMES,
        8 * _SEQUENCE_FRAMES,
        people=120,
        population=Population(18, 50, female=0.65, may_cover_hair=False),
        plan=_lab_a,
    ),
    Domain(
        "lab_b",
        5,
        "JAFFE",
        _WITHOUT_CONTEMPT,
        210,
        21,
        people=10,
        population=Population(20, 30, (0.02, 8.0, 0.02), 1.0, female=1.0, spread=0.5, may_cover_hair=False),
        plan=_lab_b,
    ),
    Domain("wild", 6, "AffectNet, FER2013, SFEW, RAF-DB", EXPRESSIONS, 10_000, 4, plan=_wild),
    Domain("faces", 8, "300-W", EXPRESSIONS, 12_000, 4, population=Population(varied_brows=True), plan=_faces),
    Domain("home", 9, "a robot's camera", EXPRESSIONS, 10_000, 4, population=home.POPULATION, plan=_home),
    Domain("person", 7, "one participant of AMIGOS", EXPRESSIONS, 450, 10**9, people=1, plan=_one_person),
)
DOMAINS: dict[str, Domain] = {domain.name: domain for domain in _LIST}
