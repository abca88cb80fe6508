// window.inc.wgsl - the first position that a row at pos sees. Needs p.window, 0: it sees all before it.
fn first_seen(pos: u32) -> u32 { return select(0u, pos + 1u - p.window, p.window != 0u && pos + 1u > p.window); }
