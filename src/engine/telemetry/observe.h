/* observe.h - telemetry of every layer (GOSS_TELEMETRY_LAYERS), from what a backend's taps show. All calls
 * take NULL: then nobody observes. */
#ifndef GOSS_TELEMETRY_OBSERVE_H
#define GOSS_TELEMETRY_OBSERVE_H
#include "model/stage.h"
#include "telemetry.h"

typedef struct goss_observer goss_observer;
/* model and sink are kept. layer, head: whose attention map is reported. 0 or GOSS_ENOMEM. */
int goss_observe_open(goss_observer **out, goss_telemetry *sink, const goss_model *m, int layer, int head);
void goss_observe_close(goss_observer **o);
void goss_observe_attach(goss_observer *o, goss_backend *b);       /* taps the backend (again) */
void goss_observe_watch(goss_observer *o, int layer, int head);
/* Before a step: its last row is observed. session: the slot of its session, -1: of none. */
void goss_observe_step(goss_observer *o, const goss_step *step, int session);
/* What was seen of a slot's sequence is that of another one now, which begins alike. */
void goss_observe_fork(goss_observer *o, int from, int slot);
void goss_observe_reset(goss_observer *o);                       /* nothing is observed until the next step */
#endif
