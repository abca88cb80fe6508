/* calls.c - calls of calls.h. */
#include "calls.h"
#include "base/error.h"
#include <string.h>

int goss_call_group(goss_weights *w, goss_call *c, const int *buffers, int n, goss_error *err)
{
    const goss_kernel *k = &w->kernels->list[c->kernel[0]];
    goss_gpu_binding b[GOSS_GPU_MAX_BINDINGS] = { { w->params.buffer, 0, 0 } };
    for (int i = 0; i < n; i++) b[i + 1].buffer = buffers[i];
    if (k->marked) b[++n].buffer = w->slots.mark;
    c->group = goss_gpu_group(w->gpu, k->pipeline, b, n + 1);
    goss_error why = { 0 };
    if (c->group > 0) return 0;
    goss_gpu_error(w->gpu, &why);
    return goss_fail(err, c->group, -1, "the GPU refused the buffers of %s: %s", k->name, why.text);
}

int goss_call_make(goss_weights *w, goss_call *c, const char *file, const char *bindings, const char *defines,
                   const void *params, size_t n_params, const int *buffers, goss_error *err)
{
    const int k = goss_kernels_get(w->kernels, file, bindings, defines, err);
    if (k < 0) return k;
    for (int i = 0; i < GOSS_VARIANTS; i++) c->kernel[i] = k;
    c->params = goss_params_share(w, params, n_params);
    return goss_call_group(w, c, buffers, (int)strlen(bindings) - 1, err);
}
