"""What a head looks like beyond its shape, and the light: the values that the shaders read, under their names."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[float, float, float]

NO_FRINGE = 9.0
NO_BALDNESS = 9.0


@dataclass(frozen=True)
class Appearance:
    """Looks of one person. Colours are linear red, green, blue, 0 to 1; lengths decimetres; the rest 0 to 1.

    Each field that a shader reads is described in the shader of its part.
    """

    noise_seed: float
    skin_colour: Colour
    lip_colour: Colour
    brow_colour: Colour
    hair_colour: Colour
    iris_colour: Colour
    cloth_colour: Colour
    collar: float
    brow_thickness: float
    brow_arch: float
    brow_density: float
    hairline: float
    receding: float
    bald_above: float
    hair_volume: float
    fringe: float
    parting: float
    curl: float
    hair_length: float
    hair_opening: float
    cloth_cap: float
    cap_colour: Colour
    beard: float
    moustache: float
    stubble: float
    freckles: float
    make_up: float
    age_lines: float
    blotches: float
    sclera: float
    lash_density: float
    has_long_hair: bool
    has_hair_cap: bool
    brow_height: float = 0.0
    brow_drop: float = 0.045


@dataclass(frozen=True)
class Worn:
    """What covers a part of the face in one picture.

    Attributes:
        glasses: none, clear glasses or sunglasses.
        frame_colour, lens_colour: of them; the last value of the lens is how much it hides.
        roundness: shape of the lenses, 0 rectangular … 1 round.
        frame_thickness: decimetres.
        lens_scale: width and height of the lenses, 1 as usual.
        face_mask: a mask over mouth and nose.
        mask_colour: of it.
        mask_top, mask_bottom: heights of its edges over the eyes, decimetres.
        mask_width: how far it reaches to either side, decimetres.
        mask_pleats: how dark its pleats are, 0 to 1.
        mask_stiffness: 0 clings to the skin … 1 hides its folds.
        mask_stripes: how many there are in a decimetre; 0 for none.
        mask_slant: of the stripes; 0 for level ones.
        mask_second: colour of the stripes.
    """

    glasses: bool = False
    frame_colour: Colour = (0.05, 0.05, 0.05)
    lens_colour: tuple[float, float, float, float] = (0.9, 0.95, 1.0, 0.08)
    roundness: float = 0.4
    frame_thickness: float = 0.022
    face_mask: bool = False
    mask_colour: Colour = (0.75, 0.85, 0.9)
    mask_top: float = -0.22
    mask_bottom: float = -1.12
    mask_width: float = 0.62
    mask_pleats: float = 0.15
    mask_stiffness: float = 0.0
    mask_stripes: float = 0.0
    mask_slant: float = 0.0
    mask_second: Colour = (0.9, 0.9, 0.9)
    lens_scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Light:
    """The light of one picture: directions towards the lights in the camera's frame, colours with their strength."""

    light_direction: tuple[float, float, float] = (0.3, 0.45, 0.84)
    light_colour: Colour = (0.62, 0.60, 0.58)
    fill_direction: tuple[float, float, float] = (-0.6, 0.1, 0.79)
    fill_colour: Colour = (0.15, 0.15, 0.16)
    ambient_colour: Colour = (0.32, 0.32, 0.33)


@dataclass(frozen=True)
class Creases:
    """How deep the folds are that an expression makes, 0 to 1."""

    crease_forehead: float = 0.0
    crease_glabella: float = 0.0
    crease_cheeks: float = 0.0
    crease_eyes: float = 0.0
    crease_nose: float = 0.0
