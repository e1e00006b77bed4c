// Corners of the mesh; worn layers (hair cap, face mask) are the skin once more, lifted along its normals.
in vec3 position;
in vec3 normal;
in vec3 rest_position;
in vec2 texture_position;
in float part_number;
out vec3 world;
out vec3 world_normal;
out vec3 rest;
out vec2 coordinate;
flat out int part;
uniform mat4 projection;
uniform mat4 view;
#if defined(FACE_MASK)
uniform float mask_stiffness;  // 0 clings to the skin … 1 hides its folds
#endif

void main() {
    rest = rest_position;
    coordinate = texture_position;
    part = int(part_number + 0.5);
#if defined(HAIR_CAP)
    float lift = hair_lift(rest);
#elif defined(FACE_MASK)
    float lift = 0.07 + 0.05 * smoothstep(0.5, 0.0, abs(rest.x));
#else
    float lift = 0.0;
#endif
    vec4 seen = view * vec4(position + lift * normal, 1.0);
    world = seen.xyz;
#if defined(FACE_MASK)
    vec3 stiff = normalize(vec3(1.4 * rest.x, 0.7 * (rest.y - EYE.y + 0.55), 0.9));
    world_normal = mat3(view) * mix(normal, stiff, mask_stiffness);
#else
    world_normal = mat3(view) * normal;
#endif
    gl_Position = projection * seen;
}
