/* source_file.c - sources that are files. */
#include "source_file.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Reads by pread, not from the mapping: `range` measures reading, and a file cut meanwhile is an error here,
 * not a signal. */
static int read_file(goss_input *in, uint64_t offset, void *dst, size_t n, goss_error *err)
{
    const goss_mapping *m = in->impl;
    for (size_t done = 0; done < n;) {
        const ssize_t k = pread(m->fd, (uint8_t *)dst + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return goss_fail(err, GOSS_EIO, (int64_t)(offset + done), "Cannot read %s at byte %llu: %s.",
                             in->name, (unsigned long long)(offset + done),
                             k < 0 ? strerror(errno) : "the file has become shorter");
        done += (size_t)k;
    }
    return 0;
}

static void close_file(goss_input *in)
{
    goss_mapping *m = in->impl;
    goss_os_unmap(m);
    goss_mem_free(m);
}

int goss_input_open_file(goss_input *in, const char *path, goss_error *err)
{
    *in = (goss_input){ .read = read_file, .close = close_file };
    goss_fmt(in->name, sizeof in->name, "%s", path);
    goss_mapping *m = goss_mem_alloc(sizeof *m);
    if (!m)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to open %s.", path);
    const int rc = goss_os_map(m, path, err);
    if (rc) {
        goss_mem_free(m);
        return rc;
    }
    in->impl = m;
    in->map = m->data;
    in->size = m->size;
    return 0;
}
