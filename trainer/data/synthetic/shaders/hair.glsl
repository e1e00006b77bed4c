// Strands of the hair cap and of long hair; head scarves and caps are the same surfaces in cloth.
uniform float hair_length;    // height over the eyes where long hair ends; below it nothing is drawn
uniform float hair_opening;   // half the width of the face that long hair leaves free, decimetres
uniform float curl;           // 0 straight … 1 curly
uniform float cloth_cap;      // 1 where the cap is a hat or scarf
uniform vec3 cap_colour;

vec3 strands(vec3 p, vec3 colour) {
    vec2 tile = unrolled(p);
    tile += curl * 0.06 * (texture(grain, tile * 2.0).a - 0.5);
    float along = mix(0.25, 2.2, curl);  // straight strands are long
    float fine = texture(grain, tile * vec2(3.0, 3.0 * along)).b;
    float coarse = texture(grain, tile * vec2(1.1, 1.1 * along) + 0.3).b;
    return colour * (0.35 + 0.75 * fine + 0.55 * coarse);
}

vec3 hair_cap(vec3 p, vec2 at) {
    float jag = 0.15 * texture(grain, unrolled(p) * vec2(1.6, 0.05)).b;
    float grown = hair_amount(p + vec3(0.0, mix(jag - 0.07, 0.0, cloth_cap), 0.0), cap_front(p), 0.03);
    if (grown < 0.5 || texture(masks, at).a > 0.3) discard;
    if (cloth_cap > 0.5) return cap_colour * (0.85 + 0.25 * texture(grain, unrolled(p) * 2.0).b);
    return strands(p, hair_colour);
}

vec3 long_hair(vec3 p) {
    float height = p.y - EYE.y;
    float ragged = mix(0.25 * texture(grain, unrolled(p) * vec2(2.0, 0.0)).b, 0.0, cloth_cap);
    float wave = 0.08 * (texture(grain, vec2(sign(p.x) * 0.3 + noise_seed * 0.1, p.y * 0.5)).a - 0.5) * (1.0 - cloth_cap);
    float round_top = sqrt(clamp(1.0 - square(max(height + 0.1, 0.0) / 0.95), 0.0, 1.0));
    float under_chin = cloth_cap * smoothstep(-1.12, -1.35, height);
    float free = (hair_opening + wave) * mix(round_top, 0.0, under_chin);
    if (height < hair_length + ragged || (p.z > EYE.z - 0.35 && abs(p.x) < free)) discard;
    if (cloth_cap > 0.5) return cap_colour * (0.8 + 0.3 * texture(grain, unrolled(p)).a);
    return strands(p, hair_colour);
}
