/* synth_fill.h - random weights as raw blocks, fast: any piece of a tensor on its own, the same bytes whoever
 * fills it. */
#ifndef GOSS_CLI_SYNTH_FILL_H
#define GOSS_CLI_SYNTH_FILL_H
#include <stddef.h>
#include <stdint.h>
/* What the values of a tensor are like: around 0 with this root mean square, or all the same. */
typedef struct goss_synth_rule {
    int type;
    float rms, constant;   /* rms 0: constant (F32 only) */
    int balanced;          /* MXFP4 only: every block sums up to 0 */
} goss_synth_rule;
/* pieces begin at multiples of it: whole blocks of every type used */
enum { GOSS_SYNTH_UNIT = 4 * 17 * 17 * 64 };
/* Fills n bytes (a multiple of the type's block) of a piece; seed and piece say which. Types F32, Q8_0,
 * MXFP4. */
void goss_synth_fill(const goss_synth_rule *r, uint64_t seed, uint64_t piece, void *bytes, size_t n);
#endif
