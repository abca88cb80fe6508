/* test_choice.c - which kernels a GPU takes, as text: what is read for a device, what is refused, what is
 * written; and what times that we make up lead to: the fastest, ties, the border between few rows and
 * many. */
#include "gpu/kernels/choice.h"
#include "gpu/kernels/layout.h"
#include "unit.h"

static const char *const DEVICE = "A Card; driver 1; library 2; f16; kernels 00000001";
static const char *const TEXT = "# a remark\n"
                                "device Another Card; driver 1\n"
                                "dense mx4 2880x4096 bytes\n"
                                "end\n"
                                "\n"
                                "device A Card; driver 1; library 2; f16; kernels 00000001\r\n"
                                "  dense mx4 2880x4096 halves 0 1 1 2 2 3\n"
                                "dense q8 64x2880 fixed\n"
                                "experts mx4 2880x2880 floats\n"
                                "few mx4 2880x2880 bytes 48\n"
                                "end";

static goss_choice of(const char *device)
{
    goss_choice c = { .n = 7 };
    snprintf(c.device, sizeof c.device, "%s", device);
    return c;
}

static int read(goss_choice *c, const char *text)
{
    goss_error err = { 0 };
    const int r = goss_choice_read(c, text, &err);
    CHECK(!r == !err.code);
    if (r) CHECK_INT(c->n, 0);
    return r;
}

static void reads(void)
{
    goss_choice c = of(DEVICE);
    CHECK_INT(read(&c, TEXT), 0);
    CHECK_INT(c.n, 4);
    CHECK_INT(goss_choice_mark(&c), 0); /* nobody asked yet */
    const goss_choice_line *l = goss_choice_find(&c, GOSS_CHOICE_DENSE, GOSS_LAYOUT_MX4, 2880, 4096);
    CHECK(l && l->operands == GOSS_TILE_HALVES && l->size[1] == 1 && l->size[5] == 3);
    goss_buf product = GOSS_BUF(256);
    goss_choice_product_text(&product, &c.line[1]);
    CHECK_STR(goss_buf_cstr(&product), "dense q8 64x2880");
    goss_buf_free(&product);
    CHECK(!goss_choice_find(&c, GOSS_CHOICE_DENSE, GOSS_LAYOUT_Q8, 64, 2880));
    CHECK(!goss_choice_find(&c, GOSS_CHOICE_DENSE, GOSS_LAYOUT_MX4, 4096, 2880));
    const uint32_t mark = goss_choice_mark(&c);
    CHECK(mark != 0);
    l = goss_choice_find(&c, GOSS_CHOICE_EXPERTS, GOSS_LAYOUT_MX4, 2880, 2880);
    CHECK(l && l->operands == GOSS_TILE_FLOATS);
    CHECK(goss_choice_mark(&c) != mark);
    l = goss_choice_find(&c, GOSS_CHOICE_FEW, GOSS_LAYOUT_MX4, 2880, 2880);
    CHECK(l && l->operands == GOSS_TILE_BYTES && l->size[0] == 48);
    goss_choice other = of("Another Card; driver 1"), any = of("A third one");
    CHECK_INT(read(&other, TEXT), 0);
    CHECK_INT(other.n, 1);
    CHECK_INT(read(&any, TEXT), GOSS_ENOENT);
    CHECK_INT(read(&any, "device *\nfew q8 64x64 floats 16\nend\n"), 0);
    CHECK_INT(any.n, 1);
}

/* Another driver, library, set of features or text of the kernels is another device. */
static void stale(void)
{
    static const char *const others[] = { "A Card; driver 2; library 2; f16; kernels 00000001",
                                          "A Card; driver 1; library 3; f16; kernels 00000001",
                                          "A Card; driver 1; library 2; kernels 00000001",
                                          "A Card; driver 1; library 2; f16; kernels 00000002",
                                          "A Card; driver 1; library 2; f16; kernels 0000000",
                                          "A Card; driver 1; library 2; f16; kernels 000000011",
                                          "" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        goss_choice c = of(others[i]);
        CHECK_INT(read(&c, TEXT), GOSS_ENOENT);
    }
}

static void refuses(void)
{
    static const char *const bad[] = {
        "", "\n# nothing\n", "dense mx4 64x64 bytes\n", "end\n", "device \nend\n", "device\nend\n", "{}",
    };
    static const char *const lines[] = {
        "dense",
        "dense mx4",
        "dense mx4 64x64",
        "dense mx5 64x64 bytes",
        "products mx4 64x64 bytes",
        "dense mx4 64 bytes",
        "dense mx4 64x bytes",
        "dense mx4 x64 bytes",
        "dense mx4 0x64 bytes",
        "dense mx4 64x-1 bytes",
        "dense mx4 64x64x64 bytes",
        "dense mx4 99999999999x64 bytes",
        "dense mx4 64x64 words",
        "dense mx4 64x64 bytes 1",
        "dense mx4 64x64 halves",
        "dense mx4 64x64 halves 0 1 2 3 0",
        "dense mx4 64x64 halves 0 1 2 3 0 4",
        "dense mx4 64x64 halves 0 1 2 3 0 1 2",
        "dense mx4 64x64 halves 0 1 2 3 0 1x",
        "dense mx4 64x64 fixed 0",
        "few mx4 64x64 halves 0 1 2 3 0 1",
        "few mx4 64x64 bytes",
        "few mx4 64x64 bytes 15",
        "few mx4 64x64 bytes 65",
        "few mx4 64x64 bytes 4294967312",
        "device *",
        "dense mx4 8x8 bytes\ndense mx4 8x8 floats", /* twice */
    };
    goss_choice c = of(DEVICE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(read(&c, bad[i]) < 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[256];
        snprintf(text, sizeof text, "device *\n%s\nend\n", lines[i]);
        if (read(&c, text) != GOSS_EFORMAT) {
            printf("%s was read\n", lines[i]);
            CHECK(0);
        } else CHECK(1);
    }
    goss_buf many = GOSS_BUF(1 << 16);
    goss_buf_str(&many, "device *\n");
    for (int i = 0; i <= GOSS_CHOICE_LINES; i++) goss_buf_printf(&many, "dense q8 64x%d fixed\n", i + 1);
    goss_buf_str(&many, "end\n");
    CHECK_INT(read(&c, goss_buf_cstr(&many)), GOSS_EFORMAT);
    goss_buf_free(&many);
}

/* A file that was cut anywhere has nothing to say: not half of a number. */
static void cut(void)
{
    char text[1024];
    for (size_t n = 0; n < strlen(TEXT); n++) {
        goss_choice c = of(DEVICE);
        memcpy(text, TEXT, n);
        text[n] = 0;
        CHECK(read(&c, text) < 0);
    }
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++) n++;
    return n;
}

static void writes(void)
{
    goss_choice c = of(DEVICE), again = of(DEVICE);
    goss_buf out = GOSS_BUF(1 << 16), next = GOSS_BUF(1 << 16);
    CHECK_INT(read(&c, TEXT), 0);
    goss_choice_write(&out, &c, TEXT);
    CHECK_INT(read(&again, goss_buf_cstr(&out)), 0);
    CHECK_INT(again.n, c.n);
    for (int i = 0; i < c.n && i < again.n; i++) CHECK(!memcmp(&c.line[i], &again.line[i], sizeof c.line[i]));
    CHECK_INT(count(goss_buf_cstr(&out), "device "), 2);
    goss_choice other = of("Another Card; driver 1");
    CHECK_INT(read(&other, goss_buf_cstr(&out)), 0);
    /* what is broken is not carried on; so many devices are */
    goss_choice_write(&next, &c, "device A\nend\ndevice B\nen");
    CHECK_INT(count(goss_buf_cstr(&next), "device "), 1);
    for (int i = 0; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof name, "Card %d", i);
        c = of(name);
        c.n = 0;
        goss_buf_clear(&out);
        goss_choice_write(&out, &c, goss_buf_cstr(&next));
        goss_buf_clear(&next);
        goss_buf_append(&next, out.data, out.len);
        CHECK_INT(read(&c, goss_buf_cstr(&next)), 0);
    }
    CHECK_INT(count(goss_buf_cstr(&next), "device "), GOSS_CHOICE_SECTIONS);
    CHECK(strstr(goss_buf_cstr(&next), "device Card 4\n") &&
          !strstr(goss_buf_cstr(&next), "device Card 3\n"));
    goss_buf_free(&out);
    goss_buf_free(&next);
}

static void marks(void)
{
    goss_choice a = of(DEVICE), b = of(DEVICE), fixed = of(DEVICE);
    CHECK_INT(read(&a, "device *\ndense q8 8x8 bytes\nexperts q8 8x8 floats\nend\n"), 0);
    CHECK_INT(read(&b, "device *\nexperts q8 8x8 floats\ndense q8 8x8 bytes\ndense q8 8x9 bytes\nend\n"), 0);
    CHECK_INT(read(&fixed, "device *\ndense q8 8x8 fixed\nexperts q8 8x8 fixed\nend\n"), 0);
    goss_choice *all[] = { &a, &b, &fixed };
    for (int i = 0; i < 3; i++) {
        goss_choice_find(all[i], GOSS_CHOICE_DENSE, GOSS_LAYOUT_Q8, 8, 8);
        goss_choice_find(all[i], GOSS_CHOICE_EXPERTS, GOSS_LAYOUT_Q8, 8, 8);
    }
    CHECK(goss_choice_mark(&a) && goss_choice_mark(&a) == goss_choice_mark(&b));
    CHECK_INT(goss_choice_mark(&fixed), 0);
}

static void best(void)
{
    CHECK_INT(goss_choice_best((const double[]){ 1.03, 1, 1.01 }, 3), 0); /* a tie: the first */
    CHECK_INT(goss_choice_best((const double[]){ 1.04, 1.02, 1 }, 3), 1);
    CHECK_INT(goss_choice_best((const double[]){ 0, -1, 7 }, 3), 2);
    CHECK_INT(goss_choice_best((const double[]){ 0, -1 }, 2), -1);
    CHECK_INT(goss_choice_step(GOSS_CHOICE_DENSE, 1), 0);
    CHECK_INT(goss_choice_step(GOSS_CHOICE_DENSE, 33), 1);
    CHECK_INT(goss_choice_step(GOSS_CHOICE_EXPERTS, 33), 3);
    CHECK_INT(goss_choice_step(GOSS_CHOICE_EXPERTS, 1u << 30), GOSS_CHOICE_STEPS - 1);
    CHECK(goss_choice_kernels() == goss_choice_kernels() && goss_choice_kernels());
}

/* What times lead to, as a line. */
static void judges(const char *kind, const char *sizes, const goss_choice_time *t, int n, const char *want)
{
    char text[256];
    goss_choice c = of(DEVICE);
    goss_buf line = GOSS_BUF(256);
    snprintf(text, sizeof text, "device *\n%s mx4 64x64 %s\nend\n", kind, sizes);
    CHECK_INT(read(&c, text), 0);
    goss_choice_judge(&c.line[0], t, n);
    goss_choice_line_text(&line, &c.line[0]);
    CHECK_STR(goss_buf_cstr(&line) + strlen(kind) + strlen(" mx4 64x64 "), want);
    goss_buf_free(&line);
}

#define HALVES(s, v, t)                                                         \
    {                                                                           \
        .operands = GOSS_TILE_HALVES, .step = s, .size = v, .rows = 32, .ms = t \
    }
#define BYTES(s, t)                                                 \
    {                                                               \
        .operands = GOSS_TILE_BYTES, .step = s, .rows = 32, .ms = t \
    }
#define FLOATS(s, t)                                                 \
    {                                                                \
        .operands = GOSS_TILE_FLOATS, .step = s, .rows = 32, .ms = t \
    }
#define N(list) (int)(sizeof list / sizeof *list)
static void products(void)
{
    static const char *const today = "halves 0 1 2 2 2 3";
    const goss_choice_time same[] = { HALVES(0, 0, 1), HALVES(0, 1, 0.98), HALVES(1, 0, 4),
                                      HALVES(1, 1, 3), BYTES(0, 0.98),     BYTES(1, 2.95) },
                           sizes[] = { HALVES(0, 0, 1), HALVES(0, 1, 0.9), HALVES(1, 0, 2.98),
                                       HALVES(1, 1, 3), BYTES(0, 2),       BYTES(1, 5) },
                           bytes[] = { HALVES(0, 0, 1), HALVES(1, 1, 3), BYTES(0, 0.5),
                                       BYTES(1, 3.1),   FLOATS(0, 0.7),  FLOATS(1, 3.4) },
                           broken[] = { HALVES(0, 0, 1), HALVES(1, 1, 3), BYTES(0, 0.5),
                                        BYTES(1, -1),    FLOATS(0, 0.7),  FLOATS(1, 3.2) },
                           unknown[] = { HALVES(0, 0, 1), HALVES(0, 1, 0), HALVES(3, 0, 0.5),
                                         HALVES(3, 1, 0.6), HALVES(3, 2, 1) },
                           new_halves[] = { FLOATS(0, 9),    FLOATS(1, 9),    HALVES(0, 0, 3),
                                            HALVES(0, 1, 2), HALVES(1, 0, 1), HALVES(1, 1, 1.01) };
    judges("dense", today, same, N(same), "fixed");
    judges("dense", today, sizes, N(sizes), "halves 1 1 2 2 2 3");
    judges("dense", today, bytes, N(bytes), "bytes");
    judges("dense", today, broken, N(broken), "floats");
    judges("experts", today, unknown, N(unknown), "halves 0 1 2 0 2 3");
    judges("dense", today, new_halves, N(new_halves), "halves 1 1 2 2 2 3");
}

#define FEW(made, s, n, t)                              \
    {                                                   \
        .operands = made, .step = s, .rows = n, .ms = t \
    }
#define PAIR(n, few, tiles)                                                                       \
    { .operands = GOSS_TILE_BYTES, .step = GOSS_CHOICE_STEPS, .rows = n, .ms = few },             \
    {                                                                                             \
        .operands = GOSS_TILE_BYTES, .step = GOSS_CHOICE_STEPS, .rows = n, .ms = tiles, .many = 1 \
    }
static void few(void)
{
    enum { B = GOSS_TILE_BYTES, F = GOSS_TILE_FLOATS };
    const goss_choice_time all[] = { FEW(B, 0, 1, 1),   FEW(B, 1, 4, 2),  FEW(F, 0, 1, 2),
                                     FEW(F, 1, 4, 2),   PAIR(24, 1, 2),   PAIR(32, 2, 2),
                                     PAIR(40, 2.05, 2), PAIR(48, 2.2, 2), PAIR(56, 1, 2) },
                           whole[] = { FEW(B, 0, 1, 1), FEW(B, 1, 4, 2), PAIR(24, 1, 2), PAIR(32, 1, 2),
                                       PAIR(40, 1, 2),  PAIR(48, 1, 2),  PAIR(56, 2, 2) },
                           none[] = { FEW(B, 0, 1, 1), FEW(B, 1, 4, 2), PAIR(24, 3, 2), PAIR(32, 1, 2) },
                           floats[] = { FEW(B, 0, 1, 1), FEW(B, 1, 4, 2), FEW(F, 0, 1, 0.5), FEW(F, 1, 4, 2),
                                        PAIR(24, 1, 2) },
                           lost[] = { FEW(B, 0, 1, 1), FEW(B, 1, 4, 2), PAIR(24, -1, -1) };
    judges("few", "bytes 56", all, N(all), "bytes 40");
    judges("few", "bytes 56", whole, N(whole), "fixed");
    judges("few", "bytes 56", none, N(none), "bytes 16");
    judges("few", "bytes 56", floats, N(floats), "floats 16");
    judges("few", "bytes 56", lost, N(lost), "fixed");
}

int main(void)
{
    reads();
    stale();
    refuses();
    cut();
    writes();
    marks();
    best();
    products();
    few();
    return unit_done("test_choice");
}
