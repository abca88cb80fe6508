// step.inc.wgsl - the words that describe a step (layout.h), bound as `step`.
#consts step
fn n_rows() -> u32 { return step[STEP_N_ROWS]; }
fn row_word(row: u32, i: u32) -> u32 { return step[step[STEP_ROWS] + row * ROW_WORDS + i]; }
fn row_token(row: u32) -> i32 { return bitcast<i32>(row_word(row, ROW_TOKEN)); }
fn row_pos(row: u32) -> u32 { return row_word(row, ROW_POSITION); }
fn row_slot(row: u32) -> u32 { return row_word(row, ROW_SLOT); }
fn row_page(row: u32, cls: u32, index: u32) -> u32 { return step[row_word(row, ROW_PAGES + cls) + index]; }
