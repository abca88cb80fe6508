// tile_begin.inc.wgsl - in main: begin and count of the tile group.y (tile.inc.wgsl), and w_row, the first row of its matrix.
// Returns where there is no such tile, or its matrix is in another piece.
#if EXPERT
    if (group.y >= info[0]) { return; }
    let slot = info[4u + 4u * group.y];
    if (slot < p.slot0 || slot >= p.slot0 + p.n_slots) { return; }
    let begin = info[5u + 4u * group.y];
    let count = info[6u + 4u * group.y];
    let w_row = (slot - p.slot0) * p.n;
#else
    let begin = group.y * $TILEu;
    if (begin >= info[0]) { return; }
    let count = min(info[0] - begin, $TILEu);
    let w_row = 0u;
#endif
