/* absent.c - backends that this build does not have say so. */
#include "../base/error.h"
#include "../model/stage.h"
__attribute__((weak)) int goss_backend_open_cpu(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    (void)out; (void)c;
    return goss_fail(err, GOSS_EUNSUPPORTED, -1, "this build has no CPU backend");
}
