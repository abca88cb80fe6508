/* record_read.c - see record_read.h. */
#include "record_read.h"
#include "record_member.h"
#include "base/error.h"
#include "base/mem.h"
#include <string.h>
#include <zlib.h>

enum { BLOCK_HEAD = 16, PART_MOST = 1 << 26, VERSION = 1 };

void goss_record_reader_open(goss_record_reader *r, const uint8_t *bytes, size_t n)
{
    *r = (goss_record_reader){ .bytes = bytes, .n = n };
}

void goss_record_reader_close(goss_record_reader *r)
{
    goss_json_free(&r->block.head);
    goss_mem_free(r->room);
    *r = (goss_record_reader){ 0 };
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int bad(const goss_record_reader *r, goss_error *err, const char *what)
{
    return goss_fail(err, GOSS_EFORMAT, (int64_t)r->at, "the recording's block at byte %zu %s", r->at, what);
}

/* ---- columns ------------------------------------------------------------------------------------------- */
static size_t type_bytes(const char *type)
{
    static const struct {
        char name[4];
        size_t bytes;
    } known[] = { { "u8", 1 }, { "u16", 2 }, { "u32", 4 }, { "i32", 4 }, { "f32", 4 }, { "f64", 8 } };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, type)) return known[i].bytes;
    return 0;
}

static int is_count(double v, double most) { return v >= 0 && v <= most && v == (double)(uint64_t)v; }

/* 1: taken; 0: of a type that is not known here; -1: it is not what it says. */
static int take_column(goss_record_block *b, int node, goss_record_column *c)
{
    const goss_json *j = &b->head;
    const int type = goss_json_get(j, node, "type"), shape = goss_json_get(j, node, "shape");
    const goss_str name = goss_json_source(j, type);
    const double at = goss_json_number(j, goss_json_get(j, node, "at"), -1);
    *c = (goss_record_column){ .name = goss_json_get(j, node, "name"), .n = 1 };
    if (goss_json_kind(j, type) != GOSS_JSON_STRING || goss_json_kind(j, c->name) != GOSS_JSON_STRING)
        return -1;
    if (name.n >= sizeof c->type) return 0;
    memcpy(c->type, name.s, (size_t)name.n);
    const size_t bytes = type_bytes(c->type);
    if (!bytes) return 0;
    if (goss_json_kind(j, shape) != GOSS_JSON_ARRAY || !is_count(at, PART_MOST)) return -1;
    for (int i = goss_json_first(j, shape); i >= 0; i = goss_json_next(j, i)) {
        const double n = goss_json_number(j, i, -1);
        if (c->n_dims == 3 || !is_count(n, PART_MOST)) return -1;
        c->shape[c->n_dims++] = (uint32_t)n;
        c->n *= (size_t)n;
        if (c->n > PART_MOST) return -1;
    }
    const size_t from = (size_t)at;
    if (!c->n_dims || from % 8 || from > b->n_data || c->n * bytes > b->n_data - from) return -1;
    c->values = b->data + from;
    return 1;
}

static int take_columns(goss_record_reader *r, goss_error *err)
{
    goss_record_block *b = &r->block;
    const int list = goss_json_get(&b->head, 0, "columns");
    for (int i = goss_json_first(&b->head, list); i >= 0; i = goss_json_next(&b->head, i)) {
        if (b->n_columns == GOSS_RECORD_COLUMNS) return bad(r, err, "has more columns than 64");
        const int got = goss_json_kind(&b->head, list) == GOSS_JSON_ARRAY &&
                                goss_json_kind(&b->head, i) == GOSS_JSON_OBJECT
                            ? take_column(b, i, &b->column[b->n_columns])
                            : -1;
        if (got < 0) return bad(r, err, "has a column that does not lie in it");
        b->n_columns += got;
    }
    return 0;
}

const goss_record_column *goss_record_find(const goss_record_block *b, const char *name, const char *type)
{
    for (int i = 0; i < b->n_columns; i++)
        if (goss_json_is(&b->head, b->column[i].name, name) && !strcmp(b->column[i].type, type))
            return &b->column[i];
    return NULL;
}

/* ---- blocks -------------------------------------------------------------------------------------------- */
/* Sizes of header and data from a block's first bytes: their sum, or an error. */
static int64_t sizes(const goss_record_reader *r, const uint8_t *p, uint32_t *head, goss_error *err)
{
    const uint32_t data = get32(p + 12);
    *head = get32(p + 8);
    if (memcmp(p, "GREC", 4)) return bad(r, err, "does not begin as a block does");
    if (get32(p + 4) != VERSION)
        return goss_fail(err, GOSS_EUNSUPPORTED, (int64_t)r->at,
                         "the recording has version %u, this program reads %d", get32(p + 4), VERSION);
    if (*head % 8 || data % 8 || *head > PART_MOST || data > PART_MOST)
        return bad(r, err, "has a wrong size");
    return (int64_t)*head + data;
}

static int make_room(goss_record_reader *r, size_t n, goss_error *err)
{
    if (n <= r->room_bytes) return 0;
    goss_mem_free(r->room);
    r->room = goss_mem_alloc(n);
    r->room_bytes = r->room ? n : 0;
    return r->room ? 0 : goss_fail(err, GOSS_ENOMEM, (int64_t)r->at, "no memory for a recording's block");
}

/* A block's bytes behind its sizes are in room. */
static int parse(goss_record_reader *r, uint32_t head, size_t data, goss_error *err)
{
    goss_record_block *b = &r->block;
    *b = (goss_record_block){ .data = r->room + head, .n_data = data };
    goss_error why;
    if (goss_json_parse(&b->head, (const char *)r->room, head, NULL, &why) ||
        goss_json_kind(&b->head, 0) != GOSS_JSON_OBJECT)
        return bad(r, err, "has a header that is no JSON object");
    return take_columns(r, err);
}

static int next_plain(goss_record_reader *r, goss_error *err)
{
    uint32_t head;
    const size_t rest = r->n - r->at;
    if (rest < BLOCK_HEAD) {
        r->cut = 1;
        return 0;
    }
    const int64_t n = sizes(r, r->bytes + r->at, &head, err);
    if (n < 0) return (int)n;
    if ((size_t)n > rest - BLOCK_HEAD) {
        r->cut = 1;
        return 0;
    }
    if (make_room(r, (size_t)n + 1, err)) return GOSS_ENOMEM;
    memcpy(r->room, r->bytes + r->at + BLOCK_HEAD, (size_t)n);
    const int rc = parse(r, head, (size_t)n - head, err);
    r->at += BLOCK_HEAD + (size_t)n;
    return rc ? rc : 1;
}

/* A member's bytes, 0: it is none. Its time, level and system are whatever who packed it wrote. */
static size_t member_size(const uint8_t *p)
{
    const int is_member = !memcmp(p, goss_member_begin, 4) &&
                          !memcmp(p + GOSS_MEMBER_EXTRA, goss_member_begin + GOSS_MEMBER_EXTRA,
                                  GOSS_MEMBER_SIZE - GOSS_MEMBER_EXTRA);
    return is_member ? get32(p + GOSS_MEMBER_SIZE) : 0;
}

static int inflate_member(goss_record_reader *r, z_stream *z, const uint8_t *p, size_t size, goss_error *err)
{
    uint8_t first[BLOCK_HEAD];
    uint32_t head;
    z->next_in = (Bytef *)(uintptr_t)(p + GOSS_MEMBER_HEAD);
    z->avail_in = (uInt)(size - GOSS_MEMBER_HEAD - GOSS_MEMBER_END);
    z->next_out = first;
    z->avail_out = sizeof first;
    int rc = inflate(z, Z_SYNC_FLUSH);
    if ((rc != Z_OK && rc != Z_STREAM_END) || z->avail_out) return bad(r, err, "cannot be unpacked");
    const int64_t n = sizes(r, first, &head, err);
    if (n < 0) return (int)n;
    if (make_room(r, (size_t)n + 1, err)) return GOSS_ENOMEM;
    z->next_out = r->room;
    z->avail_out = (uInt)n + 1;
    rc = rc == Z_STREAM_END ? rc : inflate(z, Z_FINISH);
    if (rc != Z_STREAM_END || z->avail_in || z->avail_out != 1) return bad(r, err, "cannot be unpacked");
    const uLong sum = crc32(crc32(0, first, sizeof first), r->room, (uInt)n);
    if (get32(p + size - 8) != (uint32_t)sum || get32(p + size - 4) != (uint32_t)n + BLOCK_HEAD)
        return bad(r, err, "has another checksum than it says: the file is damaged");
    return parse(r, head, (size_t)n - head, err);
}

static int next_packed(goss_record_reader *r, goss_error *err)
{
    const uint8_t *p = r->bytes + r->at;
    const size_t rest = r->n - r->at;
    if (rest < GOSS_MEMBER_HEAD) {
        r->cut = 1;
        return 0;
    }
    const size_t size = member_size(p);
    if (size < GOSS_MEMBER_HEAD + GOSS_MEMBER_END) return bad(r, err, "does not begin as a block does");
    if (size > rest) {
        r->cut = 1;
        return 0;
    }
    z_stream z = { 0 };
    if (inflateInit2(&z, -15) != Z_OK)
        return goss_fail(err, GOSS_ENOMEM, (int64_t)r->at, "no memory to unpack a recording");
    const int rc = inflate_member(r, &z, p, size, err);
    inflateEnd(&z);
    r->at += size;
    return rc ? rc : 1;
}

int goss_record_next(goss_record_reader *r, goss_error *err)
{
    goss_json_free(&r->block.head);
    r->block = (goss_record_block){ 0 };
    if (r->at >= r->n || r->cut) return 0;
    return r->bytes[r->at] == 'G' ? next_plain(r, err) : next_packed(r, err);
}
