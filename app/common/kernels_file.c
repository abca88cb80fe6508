/* kernels_file.c - see kernels_file.h. */
#include "kernels_file.h"
#include "base/error.h"
#include "base/fmt.h"
#include "net/model_cache.h"
#include "net/stream.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1 << 16 };

/* 0, or errno. */
static int read_file(goss_kernels_file *f, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in) return errno;
    f->text = calloc(1, MOST + 1);
    const size_t n = f->text ? fread(f->text, 1, MOST + 1, in) : 0;
    const int no = !f->text ? ENOMEM : ferror(in) ? EIO : n > MOST ? EFBIG : 0;
    fclose(in);
    if (no) goss_kernels_file_close(f);
    else f->text[n] = 0;
    return no;
}

int goss_kernels_file_place(char *out, size_t cap, const char *folder)
{
    char models[1000];
    if (!folder && goss_stream_folder(models, sizeof models)) return 1;
    return goss_fmt(out, cap, "%s/kernels/gpu.txt", folder ? folder : models) >= cap;
}

void goss_kernels_file_keep(void *ctx, const char *text, size_t n)
{
    goss_kernels_file *f = ctx;
    char fresh[1300], folder[1200];
    goss_fmt(folder, sizeof folder, "%s", f->path);
    char *end = strrchr(folder, '/');
    if (end) *end = 0;
    f->measured++;
    if (!*f->path) return;
    if (end && *folder) goss_model_make_folder(folder, NULL);
    goss_fmt(fresh, sizeof fresh, "%s.%ld", f->path, (long)getpid());
    errno = 0;
    FILE *out = fopen(fresh, "wb");
    int bad = !out || fwrite(text, 1, n, out) != n;
    if (out) bad |= fflush(out) || fsync(fileno(out));
    if (out && fclose(out)) bad = 1;
    if (!bad) bad = rename(fresh, f->path);
    f->failed = bad ? errno ? errno : EIO : 0;
    if (bad) remove(fresh);
}

int goss_kernels_file_open(goss_kernels_file *f, goss_engine_config *c, const char *kernels,
                           const char *folder, goss_error *err)
{
    *f = (goss_kernels_file){ 0 };
    if (!kernels || !strcmp(kernels, "none")) return 0;
    if (!strcmp(kernels, "auto")) {
        if (goss_kernels_file_place(f->path, sizeof f->path, folder))
            return goss_fail(err, GOSS_ENOENT, -1,
                             "there is no folder for what is measured: set HOME, or say "
                             "--model-cache");
        read_file(f, f->path); /* what can't be read is measured */
        c->on_kernels = goss_kernels_file_keep;
        c->kernels_ctx = f;
    } else {
        const int no = read_file(f, kernels);
        if (no)
            return goss_fail(err, GOSS_EINVAL, -1, "--gpu-kernels %s cannot be read: %s", kernels,
                             strerror(no));
    }
    c->gpu_kernels = f->text;
    return 0;
}

void goss_kernels_file_close(goss_kernels_file *f)
{
    free(f->text);
    f->text = NULL;
}
