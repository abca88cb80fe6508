/* fuzz_record.c - any bytes as a recording, packed or not. What is accepted must be sound: all that replay
 * looks at lies in memory. */
#include "base/mem.h"
#include "common/recorded.h"
#include "fuzz.h"
#include <string.h>

static void check_token(const goss_recorded *r, int i)
{
    const goss_recorded_token *t = &goss_recorded_tokens(r)[i];
    volatile uint64_t sum = 0;
    FUZZ_CHECK(t->n_top <= GOSS_RECORDED_TOP && t->n_looks <= GOSS_RECORDED_LOOKS && t->position >= 0);
    for (int l = 0; l < r->n_layer; l++) {
        const uint16_t *weights, *experts = goss_recorded_experts(r, i, l, &weights);
        for (int k = 0; experts && k < r->n_expert_used; k++) sum = sum + experts[k] + weights[k];
    }
    for (int k = 0; k < t->n_top; k++) {
        const goss_str s = goss_recorded_word(r, t->top_id[k]);
        for (uint64_t b = 0; b < s.n; b++) sum = sum + (uint8_t)s.s[b];
    }
    sum = sum + strlen(goss_recorded_channel(r, t->channel)) + (goss_recorded_turn_of(r, t->turn) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    goss_recorded r;
    goss_error e;
    memset(&e, 0, sizeof e);
    const int rc = goss_recorded_read(&r, bytes, n, &e);
    FUZZ_CHECK(rc == 0 || (rc < 0 && e.code == rc && e.text[0]));
    for (int i = 0; !rc && i < goss_recorded_n_tokens(&r); i++) check_token(&r, i);
    for (int i = 0; !rc && i < goss_recorded_n_turns(&r); i++)
        FUZZ_CHECK(goss_recorded_turns(&r)[i].stop && (!r.head || strlen(r.head) > 0));
    goss_recorded_close(&r);
    FUZZ_CHECK(goss_mem_get_stats().n_live == 0);
    return 0;
}
