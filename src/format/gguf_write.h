/* gguf_write.h - writes GGUF v3 headers into a goss_buf; the tensor data follows at the returned offset.
 * For synth and tests. */
#ifndef GOSS_FORMAT_GGUF_WRITE_H
#define GOSS_FORMAT_GGUF_WRITE_H
#include "base/buf.h"
#include "gguf.h"
typedef struct goss_gguf_writer {
    goss_buf kv, tensors;
    uint64_t n_kv, n_tensors, data_bytes, alignment;
} goss_gguf_writer;
void goss_gguf_writer_init(goss_gguf_writer *w);
void goss_gguf_put_u32(goss_gguf_writer *w, const char *key, uint32_t v);
void goss_gguf_put_f32(goss_gguf_writer *w, const char *key, float v);
void goss_gguf_put_bool(goss_gguf_writer *w, const char *key, int v);
void goss_gguf_put_str(goss_gguf_writer *w, const char *key, const char *s, size_t n);
void goss_gguf_put_strs(goss_gguf_writer *w, const char *key, const goss_str *s, uint64_t n);
void goss_gguf_put_i32s(goss_gguf_writer *w, const char *key, const int32_t *v, uint64_t n);
void goss_gguf_put_f32s(goss_gguf_writer *w, const char *key, const float *v, uint64_t n);
/* Declares a tensor; its data goes at the returned offset from the start of the data section. */
uint64_t goss_gguf_put_tensor(goss_gguf_writer *w, const char *name, int type, int n_dims, const int64_t *ne);
/* the whole header, padded to the alignment; frees the writer */
int goss_gguf_writer_finish(goss_gguf_writer *w, goss_buf *out);
#endif
