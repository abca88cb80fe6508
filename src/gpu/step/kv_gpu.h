/* kv_gpu.h - the backend's calls for KV pages (stage.h). */
#ifndef GOSS_GPU_KV_H
#define GOSS_GPU_KV_H
#include "state.h"

/* At load: what the KV grows to, as the configuration allows and the device has room (goss_backend.grows). */
void goss_kv_plan_growth(goss_gpu_state *s);
int goss_kv_follow(goss_gpu_state *s, const goss_step *step); /* before it: its pages are there, or why not */
void goss_kv_record_copy(goss_gpu_state *s, int cls, int from, int to); /* only records */
size_t goss_kv_page_bytes(const goss_backend *b, int cls);
int goss_kv_read_page(goss_backend *b, int cls, int page, void *dst, int timeout_ms);
int goss_kv_write_page(goss_backend *b, int cls, int page, const void *src);
#endif
