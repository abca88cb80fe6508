/* record_file.h - a recording as a file (docs/recording.md): the engine's blocks, each packed as a gzip
 * member, and between them lines of telemetry. A block is written when it comes, so that a file which ends
 * early has all whole blocks before. */
#ifndef GOSS_COMMON_RECORD_FILE_H
#define GOSS_COMMON_RECORD_FILE_H
#include <gossamer.h>

typedef struct goss_record_file goss_record_file;
/* Writes anew. 0 or an error. */
int goss_record_file_open(goss_record_file **out, const char *path, goss_error *err);
/* As goss_record_config.block and goss_telemetry_fn; ctx: the file. Lines wait for the next block. */
int goss_record_file_block(void *file, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens);
void goss_record_file_line(void *file, const char *json, size_t n);
/* 0, or what went wrong since it was opened. */
int goss_record_file_close(goss_record_file **file, goss_error *err);
#endif
