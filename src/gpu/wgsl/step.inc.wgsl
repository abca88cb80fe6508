// step.inc.wgsl - the words that describe a step (layout.h: GOSS_STEP_*), bound as `step`.
fn n_rows() -> u32 { return step[0]; }
fn row_word(row: u32, i: u32) -> u32 { return step[step[2] + row * 16u + i]; }
fn row_token(row: u32) -> i32 { return bitcast<i32>(row_word(row, 0u)); }
fn row_pos(row: u32) -> u32 { return row_word(row, 1u); }
fn row_slot(row: u32) -> u32 { return row_word(row, 2u); }
fn row_page(row: u32, cls: u32, index: u32) -> u32 { return step[row_word(row, 3u + cls) + index]; }
