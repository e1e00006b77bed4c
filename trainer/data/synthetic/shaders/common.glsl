// What all stages share: one person's looks, noise, and where hair grows.
const int PART_TEETH = 3;
const int PART_FRAME = 7;
// Middle of the person's left eye, decimetres; positions at rest are measured from it.
const vec3 EYE = vec3(0.308, 7.284, 1.245);

uniform float noise_seed;
uniform float hairline;      // height above the eyes of the front hairline
uniform float receding;      // how far the hairline retreats at the temples
uniform float bald_above;    // no hair above this height over the eyes
uniform float hair_volume;   // thickness of the cap, decimetres
uniform float fringe;        // height over the eyes of the fringe's lower edge; beyond the hairline where there is none
uniform float parting;       // slope of the fringe

float square(float x) {
    return x * x;
}

// Nearly exp(-x), at a fraction of its cost where there is no graphics card.
float bell(float x) {
    return square(square(max(1.0 - 0.25 * x, 0.0)));
}

float hash(vec3 p) {
    p = fract(p * vec3(0.1031, 0.1030, 0.0973) + noise_seed * 0.0137);
    p += dot(p, p.yxz + 33.33);
    return fract((p.x + p.y) * p.z);
}

float noise(vec3 p) {
    vec3 cell = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    float low = mix(mix(hash(cell), hash(cell + vec3(1, 0, 0)), f.x),
                    mix(hash(cell + vec3(0, 1, 0)), hash(cell + vec3(1, 1, 0)), f.x), f.y);
    float high = mix(mix(hash(cell + vec3(0, 0, 1)), hash(cell + vec3(1, 0, 1)), f.x),
                     mix(hash(cell + vec3(0, 1, 1)), hash(cell + vec3(1, 1, 1)), f.x), f.y);
    return mix(low, high, f.z);
}

// Lower edge of the hair over the eyes: forehead, temples, sideburns before the ear, nape behind it.
float hair_edge(vec3 p, float front) {
    float side = abs(p.x), depth = p.z - EYE.z;
    float edge = front + receding * bell(square((side - 0.40) / 0.16));
    edge -= (front + 0.12) * smoothstep(0.50, 0.72, side) * smoothstep(-0.12, -0.42, depth);
    edge -= 0.75 * smoothstep(-0.95, -1.25, depth);
    return edge;
}

// How much hair grows here, 0 to 1.
float hair_amount(vec3 p, float front, float softness) {
    float height = p.y - EYE.y;
    float above = smoothstep(-softness, softness, height - hair_edge(p, front));
    return above * (1.0 - smoothstep(bald_above - 0.12, bald_above + 0.04, height));
}

float cap_front(vec3 p) {
    return min(hairline, fringe + parting * p.x);
}

float hair_lift(vec3 p) {
    float lift = hair_volume * hair_amount(p, cap_front(p) - 0.05, 0.22);
    return 0.012 + lift * (0.75 + 0.5 * noise(p * 2.2));
}
