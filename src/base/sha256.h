/* sha256.h - SHA-256 (FIPS 180-4), streaming. */
#ifndef GOSS_BASE_SHA256_H
#define GOSS_BASE_SHA256_H
#include <stddef.h>
#include <stdint.h>
typedef struct goss_sha256 { uint32_t h[8]; uint64_t n; uint8_t block[64]; } goss_sha256;
void goss_sha256_init(goss_sha256 *s);
void goss_sha256_update(goss_sha256 *s, const void *data, size_t n);
void goss_sha256_final(goss_sha256 *s, uint8_t out[32]);
void goss_sha256_hex(const uint8_t digest[32], char out[65]);
#endif
