/* embed.c - build tool: files as C arrays. usage: embed SYMBOL FILE... > out.c
 * Gives `const struct goss_embedded SYMBOL[]` = { name (base name), bytes, size }, ended by a NULL name. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    printf("#include \"base/embedded.h\"\n");
    for (int i = 2; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (!f) { perror(argv[i]); return 1; }
        printf("static const unsigned char f%d[] = {", i);
        unsigned long n = 0;
        for (int c; (c = getc(f)) != EOF; n++) printf(n % 32 ? "%d," : "\n%d,", c);
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
