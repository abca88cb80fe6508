/* replay.h - what gossamer replay makes of a recording: lines of telemetry, and pictures of panels. */
#ifndef GOSS_CLI_REPLAY_H
#define GOSS_CLI_REPLAY_H
#include "common/recorded.h"

/* Appends the text of a token, fit for one line: control characters as \n or \x1b. */
void goss_replay_text(goss_buf *b, goss_str text);
/* The recording as telemetry (docs/telemetry.md), which a page replays with ?data=. */
void goss_replay_lines(const goss_recorded *r, goss_buf *out);
/* A panel as SVG: "timeline", "experts", "attention" or "steps"; of one turn, from its token `from` on, at
 * most n. 0, or -1: there is no such panel. */
int goss_replay_svg(const goss_recorded *r, const char *panel, int turn, int from, int n, goss_buf *out);
#endif
