// Skin with lips, brows, beard, freckles, age and the creases that expressions make, and the clothes below the neck.
uniform sampler2D masks;      // lips, eyelids, inside of the mouth, ears
uniform sampler2D grain;      // blotches, fine grains, streaks, waves
uniform vec3 skin_colour;
uniform vec3 lip_colour;
uniform vec3 brow_colour;
uniform vec3 hair_colour;
uniform vec3 cloth_colour;
uniform float collar;         // height of the cloth's edge
uniform float brow_thickness;
uniform float brow_arch;
uniform float brow_height;      // above the usual one
uniform float brow_drop;        // of the outer end
uniform float brow_density;
uniform float beard;          // 0 … 1
uniform float moustache;      // 0 … 1
uniform float stubble;        // 0 … 1
uniform float freckles;       // 0 … 1
uniform float make_up;        // 0 … 1
uniform float age_lines;      // 0 … 1
uniform float blotches;       // 0 … 1, unevenness of the skin
uniform float crease_forehead;
uniform float crease_glabella;
uniform float crease_cheeks;
uniform float crease_eyes;
uniform float crease_nose;

float band(float value, float middle, float width) {
    return bell(square((value - middle) / width));
}

// 0.5 + 0.5 * sin(x), nearly.
float wave_line(float x) {
    float t = fract(x * 0.159155 - 0.25) * 2.0 - 1.0;
    return square(1.0 - t * t);
}

// Where a point of the head falls on the tile of noise: unrolled around the head, elsewhere for everyone.
vec2 unrolled(vec3 p) {
    return vec2(atan(p.x, p.z - 0.45) * 0.55, p.y * 0.6) + vec2(noise_seed * 0.137, noise_seed * 0.071);
}

float brows(vec3 p) {
    float along = (abs(p.x) - EYE.x) / 0.21;  // -1 at the nose, 1 at the temple
    float middle = EYE.y + 0.215 + brow_height + brow_arch * (1.0 - along * along) + 0.018 * along
        - brow_drop * max(along - 0.3, 0.0);
    float thickness = brow_thickness * mix(1.0, 0.35, smoothstep(-0.3, 1.15, along));
    float across = (p.y - middle) / thickness;
    float shape = smoothstep(1.0, 0.35, abs(across)) * smoothstep(-1.02, -0.72, along) * smoothstep(1.25, 0.8, along);
    float strands = texture(grain, vec2(abs(p.x) * 2.2 - p.y * 0.9, p.y * 0.7) + noise_seed * 0.1).b;
    return shape * step(EYE.z - 0.3, p.z) * brow_density * (0.65 + 0.5 * strands);
}

// Darkness of folds, 0 … 1; each is drawn where the skin folds at rest, so it moves with the face.
float creases(vec3 p, float wave) {
    float side = abs(p.x), height = p.y - EYE.y;
    float wobble = 0.04 * wave;
    float lines = wave_line((height + wobble) * 58.0);
    lines *= square(lines);
    float forehead = lines * smoothstep(0.36, 0.46, height) * smoothstep(0.85, 0.68, height) * smoothstep(0.55, 0.2, side);
    float glabella = 0.7 * band(side, 0.055, 0.03) * smoothstep(0.10, 0.2, height) * smoothstep(0.40, 0.28, height);
    vec2 nostril = vec2(0.17, -0.42), corner = vec2(0.36, -0.66);
    vec2 fold = corner - nostril, at = vec2(side, height) - nostril;
    float t = clamp(dot(at, fold) / dot(fold, fold), 0.0, 1.0);
    float cheeks = 0.85 * band(length(at - fold * t - vec2(0.035, 0.02) * 4.0 * t * (1.0 - t)), 0.0, 0.036);
    vec2 outer = vec2(side - 0.53, height - 0.01);
    float feet = square(wave_line(outer.y / max(outer.x, 0.02) * 10.0))
        * smoothstep(0.02, 0.07, outer.x) * smoothstep(0.19, 0.1, outer.x);
    float bags = band(height, -0.155 - 0.05 * (1.0 - square((side - 0.3) / 0.22)), 0.022) * smoothstep(0.24, 0.1, abs(side - 0.3));
    float bridge = square(wave_line(height * 95.0 + side * 25.0)) * smoothstep(0.2, 0.08, side)
        * smoothstep(-0.16, -0.08, height) * smoothstep(0.1, 0.03, height) * step(EYE.z + 0.1, p.z);
    float front = smoothstep(EYE.z - 0.45, EYE.z - 0.25, p.z);
    return front * (forehead * (crease_forehead + 0.45 * age_lines) + glabella * (crease_glabella + 0.3 * age_lines)
        + cheeks * (crease_cheeks + 0.6 * age_lines) + feet * (crease_eyes * 0.7 + 0.5 * age_lines)
        + bags * (0.35 * crease_eyes + 0.6 * age_lines + 0.12) + 1.5 * bridge * crease_nose);
}

float facial_hair(vec3 p, float lips, float streak, float fine) {
    float side = abs(p.x), height = p.y - EYE.y, depth = p.z - EYE.z;
    float edge = -0.60 + 0.45 * smoothstep(0.38, 0.66, side);
    float jaw = smoothstep(edge + 0.06, edge - 0.08, height) * smoothstep(-0.9, -0.6, depth) * smoothstep(-1.5, -1.2, height);
    float chin = jaw * max(smoothstep(0.22, 0.30, length(vec2(side, height + 0.66) * vec2(0.8, 1.0))), 0.25 * step(height, -0.74));
    float droop = 0.5 * side * side;
    float lip = smoothstep(-0.44, -0.50, height + droop) * smoothstep(-0.66, -0.58, height) * smoothstep(0.32, 0.16, side)
        * smoothstep(0.0, 0.03, side + 0.012);
    float strands = 0.45 + 0.75 * streak;
    float grown = max(beard * chin, moustache * lip) * strands;
    float shaved = stubble * max(chin, lip) * (0.30 + 0.35 * fine);
    return clamp(max(grown, shaved), 0.0, 1.0) * (1.0 - lips);
}

vec3 skin(vec3 p, vec2 at, out float shine) {
    vec4 mask = texture(masks, at);
    vec3 colour = skin_colour;
    float height = p.y - EYE.y;
    vec2 tile = unrolled(p);
    vec4 coarse = texture(grain, tile), dense = texture(grain, tile * 3.0);
    float uneven = coarse.r;
    colour *= 1.0 + blotches * (uneven - 0.5) * 0.45;
    vec2 cheek = (vec2(abs(p.x), height) - vec2(0.40, -0.38)) / vec2(0.26, 0.22);
    float near_cheek = bell(dot(cheek, cheek));
    colour *= mix(vec3(1.0), vec3(1.08, 0.88, 0.86), near_cheek * (0.5 + 0.4 * make_up));
    vec2 tip = vec2(p.x, height + 0.34) / vec2(0.17, 0.12);
    colour *= mix(vec3(1.0), vec3(1.05, 0.90, 0.88), bell(dot(tip, tip)) * 0.6);
    colour *= mix(1.0, 0.80, freckles * smoothstep(0.58, 0.70, dense.g) * bell(0.25 * dot(cheek, cheek)));
    float socket = band(length((vec2(abs(p.x), height) - EYE.xy * vec2(1.0, 0.0)) * vec2(0.8, 1.3)), 0.0, 0.2);
    colour *= mix(vec3(1.0), vec3(0.86, 0.80, 0.80), socket * (0.5 + 0.5 * age_lines) + mask.g * (0.25 + 0.6 * make_up));
    colour = mix(colour, lip_colour * (0.92 + 0.16 * coarse.b), mask.r * 0.9);
    colour *= 1.0 - 0.37 * clamp(creases(p, coarse.a), 0.0, 1.0);
    shine = mix(0.10, 0.22, mask.r);
    colour = mix(colour, brow_colour, clamp(brows(p), 0.0, 1.0));
    colour = mix(colour, hair_colour * 0.85, facial_hair(p, mask.r, dense.b, dense.g) * 0.92);
    float scalp = hair_amount(p, hairline, 0.05) * (1.0 - mask.a) * smoothstep(0.25, 0.6, 0.1 + dense.g);
    colour = mix(colour, hair_colour * 0.7, scalp * 0.9);
    colour = mix(colour, vec3(0.20, 0.05, 0.05), mask.b);
    float cloth = smoothstep(0.02, -0.02, p.y - collar - 0.35 * p.x * p.x + 0.3 * smoothstep(1.0, 0.0, p.z));
    shine *= 1.0 - cloth;
    return mix(colour, cloth_colour * (0.9 + 0.2 * dense.g), cloth);
}
