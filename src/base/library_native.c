/* library_native.c - see library.h. */
#include "library.h"
#include "fmt.h"
#include "os.h"

int goss_library_place(int i, const char *given, char *path, size_t cap)
{
    static const char *const places[] = {
        "%s/libwebgpu_wrapper.so",
        "%s/../lib/gossamer/libwebgpu_wrapper.so",
        "%s/node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so",
        "%s/../node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so",
        "%s/../../node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so",
        "%s/../../../node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so",
    };
    enum { N = sizeof places / sizeof *places };
    char here[512];
    if (given || i == 0) goss_fmt(path, cap, "%s", given ? given : "libwebgpu_dawn.so.0");
    else if (i <= N) {
        goss_os_program_folder(here, sizeof here);
        goss_fmt(path, cap, places[i - 1], here);
    } else if (i <= 2 * N) goss_fmt(path, cap, places[i - 1 - N], ".");
    return given ? i == 0 : i <= 2 * N;
}
