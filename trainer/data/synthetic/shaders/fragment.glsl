// One pixel: what is there, and how the light falls on it. One program for each surface (SKIN, EYES, …), because software
// rendering computes every branch of a shader for every pixel.
in vec3 world;
in vec3 world_normal;
in vec3 rest;
in vec2 coordinate;
flat in int part;
out vec4 pixel;
uniform vec3 light_direction;
uniform vec3 light_colour;
uniform vec3 fill_direction;
uniform vec3 fill_colour;
uniform vec3 ambient_colour;
uniform vec3 iris_colour;
uniform float sclera;         // brightness of the white of the eye
uniform float lash_density;
uniform vec3 frame_colour;
uniform vec4 lens_colour;     // alpha: how much the lens hides
uniform vec3 mask_colour;
uniform float mask_top;       // height over the eyes of the face mask's upper edge
uniform float mask_bottom;    // and of its lower one
uniform float mask_width;     // how far it reaches to either side
uniform float mask_pleats;    // how dark they are
uniform float mask_stripes;   // in a decimetre
uniform float mask_slant;
uniform vec3 mask_second;     // colour of the stripes

vec3 eye(vec3 p, out float shine) {
    vec3 middle = EYE * vec3(sign(p.x), 1.0, 1.0);
    vec3 direction = normalize(p - middle);
    float angle = acos(clamp(direction.z, -1.0, 1.0));
    vec3 white = vec3(0.94, 0.91, 0.89) * sclera * (1.0 - 0.30 * smoothstep(0.35, 0.95, angle));
    vec3 colour = mix(iris_colour * (0.65 + 0.6 * texture(grain, direction.xy * 0.5 + noise_seed * 0.1).g), white, smoothstep(0.43, 0.49, angle));
    colour = mix(iris_colour * 0.4, colour, smoothstep(0.0, 0.06, abs(angle - 0.45)));
    colour = mix(vec3(0.015), colour, smoothstep(0.17, 0.22, angle));
    shine = 0.9;
    return colour * mix(0.72, 1.0, smoothstep(0.07, 0.0, p.y - middle.y));  // the lid's shadow
}

vec3 face_mask(vec3 p) {
    float height = p.y - EYE.y, side = abs(p.x);
    float top = mask_top - 0.25 * smoothstep(0.1, 0.6, side);
    float bottom = mask_bottom + 0.25 * smoothstep(0.2, 0.6, side);
    bool strap = side > 0.55 && abs(height + 0.35 + 0.15 * side) < 0.02;
    if (!strap && (height > top || height < bottom || side > mask_width || p.z < EYE.z - 0.55)) discard;
    float pleats = smoothstep(0.02, 0.0, abs(mod(height + 0.02, 0.2) - 0.1)) * mask_pleats;
    float stripe = mask_stripes > 0.0 ? step(0.5, fract((height + mask_slant * p.x) * mask_stripes)) : 0.0;
    return mix(mask_colour, mask_second, stripe) * (1.0 - pleats) * (0.95 + 0.1 * texture(grain, unrolled(p) * 3.0).g);
}

void main() {
    vec3 normal = normalize(world_normal);
    vec3 to_camera = normalize(-world);
    if (dot(normal, to_camera) < 0.0) normal = -normal;
    float shine = 0.05, gloss = 16.0, wrap = 0.25, opacity = 1.0;
    vec3 colour;
#if defined(SKIN)
    colour = skin(rest, coordinate, shine);
#elif defined(EYES)
    colour = eye(rest, shine);
    gloss = 90.0;
#elif defined(MOUTH)
    float depth = smoothstep(part == PART_TEETH ? 1.15 : 0.9, part == PART_TEETH ? 1.45 : 1.4, rest.z);
    colour = depth * (part == PART_TEETH ? vec3(0.90, 0.86, 0.78) : vec3(0.62, 0.28, 0.28));
    shine = 0.2;
#elif defined(LASHES)
    if (hash(vec3(floor(rest.x * 420.0), 1.0, 1.0)) > lash_density) discard;
    colour = vec3(0.05, 0.04, 0.04);
    shine = 0.0;
#elif defined(LONG_HAIR)
    colour = long_hair(rest);
    wrap = 0.4;
#elif defined(HAIR_CAP)
    colour = hair_cap(rest, coordinate);
    wrap = 0.4;
#elif defined(FACE_MASK)
    colour = face_mask(rest);
    shine = 0.0;
#else
    bool is_frame = part == PART_FRAME;
    colour = is_frame ? frame_colour : lens_colour.rgb;
    opacity = is_frame ? 1.0 : lens_colour.a;
    shine = 0.4;
#endif
    float key = max((dot(normal, light_direction) + wrap) / (1.0 + wrap), 0.0);
    float fill = max((dot(normal, fill_direction) + 0.4) / 1.4, 0.0);
    vec3 halfway = normalize(light_direction + to_camera);
    float spot = pow(max(dot(normal, halfway), 0.0), gloss) * shine;
    vec3 light = ambient_colour * (0.8 + 0.2 * normal.y) + light_colour * key + fill_colour * fill;
    vec3 lit = colour * light + light_colour * spot;
    lit = clamp(lit, 0.0, 1.5);
    pixel = vec4(mix(lit, sqrt(lit), 0.27) * opacity, opacity);  // a camera lifts the shadows
}
