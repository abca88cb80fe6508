// attend_begin.inc.wgsl - how main(group, t) of attention by chunks begins: the pages [begin, end) that the workgroup has of a row's
// keys, and the queries of its heads in qs. FROM, BELOW: rows that see fewer pages, or as many, are another kernel's. Needs
// step.inc.wgsl, window.inc.wgsl, keys.inc.wgsl, HEADS, D4, OUTS and qs.
    let row = group.z;
    let kvh = group.x;
    let pos = row_pos(row);
    let first_key = first_seen(pos);
    let first_page = first_key / 64u;
    let n_pages = pos / 64u - first_page + 1u;
#if FINAL
    let per = n_pages;
#else
    let per = (n_pages + step[STEP_CHUNKS] - 1u) / step[STEP_CHUNKS];
    if (group.y * per >= n_pages) { return; }
#endif
#if FROM
    if (n_pages < $FROMu) { return; }
#endif
#if BELOW
    if (n_pages >= $BELOWu) { return; }
#endif
    let begin = first_page + group.y * per;
    let end = min(begin + per, first_page + n_pages);
    for (var i = t; i < OUTS; i += $WGu) {
        qs[i] = query(row * p.stride / 2u + (kvh * HEADS + i / D4) * 2u * D4, i % D4) * p.scale;
    }
