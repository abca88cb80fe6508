/* record_member.h - the head of a recording's gzip member (docs/recording.md), for who writes and who reads
 * it: gzip's 10 bytes with FEXTRA set, the size of the extra field, "GR" with its size, and three numbers of
 * 32 bits: the member's size, its first token, how many tokens it has. */
#ifndef GOSS_COMMON_RECORD_MEMBER_H
#define GOSS_COMMON_RECORD_MEMBER_H
#include <stdint.h>

enum {
    GOSS_MEMBER_EXTRA = 10, /* where the extra field begins */
    GOSS_MEMBER_SIZE = 16,
    GOSS_MEMBER_FIRST = 20,
    GOSS_MEMBER_TOKENS = 24,
    GOSS_MEMBER_HEAD = 28, /* behind it come the packed bytes */
    GOSS_MEMBER_END = 8    /* gzip's checksum and size */
};
static const uint8_t goss_member_begin[GOSS_MEMBER_SIZE] = { 0x1f, 0x8b, 8,  4, 0,   0,   0,  0,
                                                             0,    255,  16, 0, 'G', 'R', 12, 0 };
#endif
