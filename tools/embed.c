/* embed.c - build tool: files as C arrays. usage: embed [-s] SYMBOL FILE... > out.c
 * With -s lines keep their numbers but lose indentation and comments that begin with two slashes.
 * Gives `const struct goss_embedded SYMBOL[]` = { name (base name), bytes, size }, ended by a NULL name. */
#include <stdio.h>
#include <string.h>

static int strip, bare, in_comment;                /* bare: nothing of the line has been given yet */

/* The next byte of a file, or of what is left of it. */
static int next(FILE *f)
{
    for (int c; (c = getc(f)) != EOF;) {
        if (!strip) return c;
        if (c == '/') {
            const int d = getc(f);
            if (d == '/') in_comment = 1;
            else if (d != EOF) ungetc(d, f);
        }
        if (c == '\n') { in_comment = 0; bare = 1; return c; }
        if (in_comment || (bare && (c == ' ' || c == '\t'))) continue;
        bare = 0;
        return c;
    }
    return EOF;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "-s")) { strip = 1; argv++; argc--; }
    if (argc < 2) return 2;
    printf("#include \"base/embedded.h\"\n");
    for (int i = 2; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f) { perror(argv[i]); return 1; }
        printf("static const unsigned char f%d[] = {", i);
        unsigned long n = 0;
        bare = 1;
        in_comment = 0;
        for (int c; (c = next(f)) != EOF; n++) printf(n % 32 ? "%d," : "\n%d,", c);
        printf("0};\n");
        fclose(f);
    }
    printf("const struct goss_embedded %s[] = {\n", argv[1]);
    for (int i = 2; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        printf("    { \"%s\", f%d, sizeof f%d - 1 },\n", slash ? slash + 1 : argv[i], i, i);
    }
    printf("    { 0, 0, 0 }\n};\n");
    return ferror(stdout) != 0;
}
