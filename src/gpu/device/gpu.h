/* gpu.h - the GPU as the engine sees it: about 20 calls over WebGPU, the same natively (Dawn or wgpu-native
 * through webgpu.h), in a browser (a replayer in JavaScript) and without any device (the null device
 * validates and refuses to run).
 *
 * 1. Nothing blocks but goss_gpu_poll with a timeout. Opening, pipelines and reads end in a later poll.
 * 2. Objects are small numbers (> 0) that are never reused before they are freed. A negative number is a
 *    GOSS_E code.
 * 3. Every call is checked here first (gpu.c) against sizes, alignments, usages and limits, on every
 *    implementation. What the device itself reports (validation, out of memory, internal) is collected:
 *    goss_gpu_error().
 * 4. A lost device answers GOSS_ELOST to everything from then on; close it and open another.
 *
 * A submit is an array of 32-bit words, replayed in order (this is all that a replayer has to know):
 *   OP_PASS     query                      begins a compute pass; query: index of a pair of timestamps, or NONE
 *   OP_DISPATCH pipeline group offset x y z   sets the pipeline and group 0 = `group` with one dynamic offset
 *                                          (bytes, for binding 0; NONE when the pipeline has no 'u'),
 *                                          dispatches
 *   OP_END                                 ends the pass
 *   OP_COPY     src src4 dst dst4 n4       buffer to buffer, outside passes; offsets and sizes in words of 4 bytes
 *   OP_CLEAR    buffer off4 n4             zeroes, outside passes
 *   OP_RESOLVE  first count dst dst4       timestamps [first, first + count) into dst as u64, outside passes
 *   OP_CUT                                 what follows is a submit of its own, outside passes: whoever else wants the
 *                                          GPU gets a turn between the two
 * Group layouts come from the pipeline's `bindings`, one letter a binding, in order from binding 0:
 *   u uniform with a dynamic offset (only as binding 0)   r read-only storage   w read-write storage */
#ifndef GOSS_GPU_GPU_H
#define GOSS_GPU_GPU_H
#include "gpu_types.h"

typedef struct goss_gpu goss_gpu;

/* Begins to open; the object exists (close it) also where this fails. */
int goss_gpu_open(goss_gpu **out, const goss_gpu_options *options, goss_error *err);
int goss_gpu_ready(goss_gpu *g, goss_error *err);            /* 0, GOSS_EAGAIN, or why not */
void goss_gpu_close(goss_gpu **g);
const goss_gpu_limits *goss_gpu_get_limits(const goss_gpu *g); /* after ready */
uint64_t goss_gpu_allocated(const goss_gpu *g);              /* bytes of live buffers */
int goss_gpu_buffers(const goss_gpu *g);                     /* how many */

/* zero-filled; size is rounded up to 16 */
int goss_gpu_buffer(goss_gpu *g, uint64_t size, unsigned usage, const char *label);
void goss_gpu_buffer_free(goss_gpu *g, int buffer);
/* A larger buffer with the bytes of this one, which is freed (GROWS | COPY_SRC | COPY_DST): groups that bound
 * the whole of it bind the new one from now on. Words that name the old one must have been submitted. The new
 * one, or why not: then all is as it was. */
int goss_gpu_buffer_grow(goss_gpu *g, int buffer, uint64_t size, const char *label);
uint64_t goss_gpu_buffer_size(const goss_gpu *g, int buffer);
/* multiples of 4; ordered with submits */
int goss_gpu_write(goss_gpu *g, int buffer, uint64_t offset, const void *data, uint64_t n);
/* n bytes of a source into a buffer without passing through the caller's memory: 1 done, 0:
 * goss_engine_read_done(tag) follows; GOSS_EAGAIN: nothing happened, again after a poll. At most 8 MB at a
 * time. n need not be a multiple of 4: the implementation may write up to 3 bytes of anything behind. */
int goss_gpu_upload(goss_gpu *g, int buffer, uint64_t offset, const goss_source *source, uint64_t file_offset,
                    uint64_t n, uint64_t tag);
/* To be called when goss_engine_read_done brings a tag of an upload: 1, or why it failed. */
int goss_gpu_uploaded(goss_gpu *g, uint64_t tag, int status);

/* Compiles; the result is known when goss_gpu_pipeline_ready says so. `name` is for messages. */
int goss_gpu_pipeline(goss_gpu *g, const char *name, const char *wgsl, size_t n_wgsl, const char *bindings);
int goss_gpu_pipeline_ready(goss_gpu *g, int pipeline, goss_error *err);
void goss_gpu_pipeline_free(goss_gpu *g, int pipeline);
/* binding 0 with 'u' binds a window of 256 bytes */
int goss_gpu_group(goss_gpu *g, int pipeline, const goss_gpu_binding *bindings, int n);
void goss_gpu_group_free(goss_gpu *g, int group);

int goss_gpu_submit(goss_gpu *g, const uint32_t *words, size_t n_words);
/* Reads a MAP_READ buffer once everything submitted so far is done. One read a buffer at a time. */
int goss_gpu_read(goss_gpu *g, int buffer, uint64_t offset, uint64_t n);
/* 0: copied, the read is over; GOSS_EAGAIN; or an error */
int goss_gpu_read_poll(goss_gpu *g, int buffer, void *dst, uint64_t n);
/* lets callbacks run, waits while reads are pending; 0 or GOSS_ELOST */
int goss_gpu_poll(goss_gpu *g, int timeout_ms);
/* takes the oldest collected error: its code, or 0 */
int goss_gpu_error(goss_gpu *g, goss_error *err);
#endif
