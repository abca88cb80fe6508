/* sample_exp2.h - the sampler's table of powers of two. */
#ifndef GOSS_MODEL_SAMPLE_EXP2_H
#define GOSS_MODEL_SAMPLE_EXP2_H
#include <stdint.h>
const uint32_t *goss_sample_exp2(void); /* 4096 entries, 2^31 * 2^(-i/4096) rounded */
#endif
