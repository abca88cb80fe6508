// tile.inc.wgsl - which rows a tile of a product has, by its place from the start of the step's rows (DENSE) or of the list of
// entries (EXPERT, group.wgsl): the row of x, the row of y, and where the biases of a tile's outputs begin. Needs info.
#if EXPERT
#if UP
fn row_of(at: u32) -> u32 { return info[p.list + at] / p.top_k; }
#else
fn row_of(at: u32) -> u32 { return info[p.list + at]; }
#endif
fn out_row(at: u32) -> u32 { return info[p.list + at]; }
fn bias_of(tile: u32) -> u32 { return p.bias + info[7u + 4u * tile] * p.n; }
#else
fn row_of(at: u32) -> u32 { return at; }
fn out_row(at: u32) -> u32 { return at; }
fn bias_of(tile: u32) -> u32 { return p.bias; }
#endif
