/* recording.c - the public calls that begin, cut and end a recording; tape/ makes its blocks. */
#include "base/error.h"
#include "engine_state.h"
#include "session.h"

static void end_recording(goss_engine *e)
{
    goss_tape_end(e->tape);
    goss_tape_close(&e->tape);
    goss_engine_see(e);
}

int goss_engine_record(goss_engine *e, const goss_record_config *c, goss_error *err)
{
    if (!e) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine");
    if (e->tape) end_recording(e);
    if (!c) return 0;
    if (!c->block || c->block_tokens < 0)
        return goss_fail(err, GOSS_EINVAL, -1, "nobody takes the blocks, or blocks have a negative size");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
    int rc = goss_tape_open(&e->tape, c, &e->loaded.model, e->loaded.vocab, e->config.max_sessions);
    if (!rc) rc = goss_engine_see(e);
    if (rc) {
        goss_tape_close(&e->tape);
        return goss_fail(err, rc, -1, "no memory to record with");
    }
    const int layer = e->config.telemetry_layer, head = e->config.telemetry_head;
    if (e->loaded.model.hp.n_layer && goss_engine_watch(e, layer, head)) {
        goss_tape_close(&e->tape);
        return goss_fail(err, GOSS_EINVAL, -1, "layer %d, head %d can't be watched: the model has %d and %d",
                         layer, head, e->loaded.model.hp.n_layer, e->loaded.model.hp.n_head);
    }
    goss_model_info info;
    goss_engine_info(e, &info);
    goss_tape_head(e->tape, &info, layer, head);
    return 0;
}

int goss_record_cut(goss_engine *e)
{
    goss_stats stats;
    if (!e) return GOSS_EINVAL;
    if (!e->tape) return GOSS_ESTATE;
    goss_engine_stats(e, &stats);
    return goss_tape_cut(e->tape, &stats);
}

int goss_session_request(goss_session *s, const char *json, size_t n)
{
    if (!s || !json) return GOSS_EINVAL;
    goss_tape_request(s->engine->tape, s->slot, json, n);
    return 0;
}
