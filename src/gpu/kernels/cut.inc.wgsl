// cut.inc.wgsl - values cut to the 11 bits of a half: by their bits, for NVIDIA's driver takes a value that went to a half and
// back for the value itself.
fn cut(v: vec4<f32>) -> vec4<f32> { return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4<u32>(0xffffe000u)); }
