/* model_host.h - the host of models that names like hf:OWNER/REPO mean: HF_ENDPOINT, else huggingface.co; and
 * HF_TOKEN, which only that host sees. */
#ifndef GOSS_NET_MODEL_HOST_H
#define GOSS_NET_MODEL_HOST_H
#include <stddef.h>

void goss_model_host(char *out, size_t cap);        /* "https://huggingface.co", without a slash at the end */
int goss_model_host_owns(const char *url);          /* 1: of the same scheme, host and port */
const char *goss_model_host_token(const char *url); /* what `url` may be told, or NULL */
#endif
