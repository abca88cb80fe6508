// packed_loop.inc.wgsl - within a function: adds to acc$b_$r what weight row w_row$r times activation row x_row$b gives, n
// blocks, of which thread t of the $LANES that share the rows takes every $LANES-th, $IT asked for at once. Weights are made
// bytes first, then activations pass by; ROWS_FIRST: the other way round, which wants fewer registers where $NR is large and
// $B small. Needs packed.inc.wgsl.
    for (var u = t % $LANES; u < n; u += $LANESu * $ITu) {
#for i IT
        let u$i = min(u + $iu * $LANESu, n - 1u);
#for r NR
        let at$i_$r = w_row$r * n + u$i;
#if MX4
        let w$i_$r = wq[at$i_$r];
#else
        let w$i_$r = Bytes32(wq[at$i_$r * 2u], wq[at$i_$r * 2u + 1u]);
#endif
        let s$i_$r = block_scale(w_row$r, u$i);
#end
#end
#for i IT
        let is$i = select(0.0, 1.0, u + $iu * $LANESu < n);
#if ROWS_FIRST
#for b B
        let x$i_$b = x_block(x_row$b, u$i, n);
        let xs$i_$b = x$i_$b.s * is$i;
#end
#for r NR
        let d$i_$r = bytes_of(w$i_$r);
#for b B
        acc$b_$r = fma(product(d$i_$r, x$i_$b), s$i_$r * xs$i_$b, acc$b_$r);
#end
#end
#else
#for r NR
        let d$i_$r = bytes_of(w$i_$r);
#end
#for b B
        let x$i_$b = x_block(x_row$b, u$i, n);
        let xs$i_$b = x$i_$b.s * is$i;
#for r NR
        acc$b_$r = fma(product(d$i_$r, x$i_$b), s$i_$r * xs$i_$b, acc$b_$r);
#end
#end
#endif
#end
    }
