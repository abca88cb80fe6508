/* harmony_tools.c - tools as the text that gpt-oss was trained on: TypeScript made from JSON schemas
 * (REFERENCE 9.5), and the two built-in tools. The layout, its odd corners included, is that of the reference
 * renderer, byte for byte: models notice.
 *
 * Recursion follows the schema's nesting, which the JSON parser bounds. */
#include "base/decimal.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/order.h"
#include "harmony.h"
#include <string.h>

const char goss_harmony_browser[] =
    "## browser\n\n"
    "// Tool for browsing.\n"
    "// The `cursor` appears in brackets before each browsing display: `[{cursor}]`.\n"
    "// Cite information from the tool using the following format:\n"
    "// `【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.\n"
    "// Do not quote more than 10 words directly from the tool output.\n"
    "// sources=web (default: web)\n"
    "namespace browser {\n\n"
    "// Searches for information related to `query` and displays `topn` results.\n"
    "type search = (_: {\n"
    "query: string,\n"
    "topn?: number, // default: 10\n"
    "source?: string,\n"
    "}) => any;\n\n"
    "// Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing "
    "`num_lines` lines.\n"
    "// Valid link ids are displayed with the formatting: `【{id}†.*】`.\n"
    "// If `cursor` is not provided, the most recent page is implied.\n"
    "// If `id` is a string, it is treated as a fully qualified URL associated with `source`.\n"
    "// If `loc` is not provided, the viewport will be positioned at the beginning of the document or "
    "centered on the most "
    "relevant passage, if available.\n"
    "// Use this function without `id` to scroll to a new location of an opened page.\n"
    "type open = (_: {\n"
    "id?: number | string, // default: -1\n"
    "cursor?: number, // default: -1\n"
    "loc?: number, // default: -1\n"
    "num_lines?: number, // default: -1\n"
    "view_source?: boolean, // default: false\n"
    "source?: string,\n"
    "}) => any;\n\n"
    "// Finds exact matches of `pattern` in the current page, or the page given by `cursor`.\n"
    "type find = (_: {\n"
    "pattern: string,\n"
    "cursor?: number, // default: -1\n"
    "}) => any;\n\n"
    "} // namespace browser";

const char goss_harmony_python[] = "## python\n\n"
                                   "Use this tool to execute Python code in your chain of thought. The code "
                                   "will not be shown to the user. This tool should "
                                   "be used for internal reasoning, but not for code that is intended to be "
                                   "visible to the user (e.g. when creating plots, "
                                   "tables, or files).\n\n"
                                   "When you send a message containing Python code to python, it will be "
                                   "executed in a stateful Jupyter notebook environment. "
                                   "python will respond with the output of the execution or time out after "
                                   "120.0 seconds. The drive at '/mnt/data' can be "
                                   "used to save and persist user files. Internet access for this session is "
                                   "UNKNOWN. Depends on the cluster.";

/* ---- small parts ---- */

static int is_string(const goss_json *j, int node) { return goss_json_kind(j, node) == GOSS_JSON_STRING; }
static int is_array(const goss_json *j, int node) { return goss_json_kind(j, node) == GOSS_JSON_ARRAY; }

static void indentation(int n, goss_buf *text)
{
    while (n-- > 0) goss_buf_append(text, " ", 1);
}

/* indent + before + the string + after; nothing when node is no string. */
static int comment(const goss_json *j, int node, int indent, const char *before, const char *after,
                   goss_buf *text)
{
    if (!is_string(j, node)) return 0;
    indentation(indent, text);
    goss_buf_str(text, before);
    goss_json_string(j, node, text);
    goss_buf_str(text, after);
    return 1;
}

static int is_enum(const goss_json *j, int schema)
{
    const int e = goss_json_get(j, schema, "enum");
    return is_array(j, e) && goss_json_first(j, e) >= 0;
}

/* A whole number of 64 bits, with a sign or without. Minus zero is none. */
static int is_whole(const char *s, size_t n)
{
    const int minus = s[0] == '-';
    const char *most = minus ? "-9223372036854775808" : "18446744073709551615";
    for (size_t i = (size_t)minus; i < n; i++)
        if (s[i] < '0' || s[i] > '9') return 0;
    if (minus && n == 2 && s[1] == '0') return 0;
    return n < 20 || (n == 20 && memcmp(s, most, 20) <= 0);
}

/* A number as serde writes it: whole ones of 64 bits as they stand, others as the shortest double, with an
 * exponent from 1e16 on and below 1e-5. */
static void serde_number(const char *s, size_t n, goss_buf *out)
{
    goss_decimal d;
    double v = 0;
    if (is_whole(s, n) || goss_read_double(s, n, &v) != n) {
        goss_buf_append(out, s, n);
        return;
    }
    goss_decimal_from(&d, v, GOSS_DECIMAL_SHORTEST, 0);
    const char *digit = d.n ? d.digit : "0";
    const int count = d.n ? d.n : 1, point = d.n ? d.point : 1;
    if (s[0] == '-') goss_buf_str(out, "-");
    if (point > 16 || point < -4) {
        goss_buf_printf(out, count > 1 ? "%c." : "%c", digit[0]);
        goss_buf_append(out, digit + 1, (size_t)count - 1);
        goss_buf_printf(out, "e%d", point - 1);
        return;
    }
    if (point <= 0) goss_buf_str(out, "0.");
    for (int i = point; i < 0; i++) goss_buf_str(out, "0");
    for (int i = 0; i < count || i < point; i++) {
        if (i == point && point > 0) goss_buf_str(out, ".");
        goss_buf_append(out, i < count ? digit + i : "0", 1);
    }
    if (point >= count) goss_buf_str(out, ".0");
}

/* A value as serde writes it: members and elements as they stand. */
static void serde_value(const goss_json *j, int value, goss_buf *text)
{
    goss_buf b = GOSS_BUF(1 << 24);
    if (goss_json_write(j, value, &b)) text->failed = b.failed ? b.failed : GOSS_EINVAL;
    const char *s = (const char *)b.data;
    for (size_t at = 0, end; at < b.len; at = end) {
        end = at + 1;
        const int number = s[at] == '-' || (s[at] >= '0' && s[at] <= '9');
        if (s[at] == '"') {
            for (; s[end] != '"'; end++) end += s[end] == '\\';
            end++;
        }
        while (number && end < b.len && !strchr(",]}", s[end])) end++;
        if (number) serde_number(s + at, end - at, text);
        else goss_buf_append(text, s + at, end - at);
    }
    goss_buf_free(&b);
}

/* A default's value: strings in quotes but for enums (unescaped: it is a comment), anything else as JSON. */
static void default_value(const goss_json *j, int schema, int value, goss_buf *text)
{
    if (!is_string(j, value)) {
        serde_value(j, value, text);
        return;
    }
    const char *quote = is_enum(j, schema) ? "" : "\"";
    goss_buf_str(text, quote);
    goss_json_string(j, value, text);
    goss_buf_str(text, quote);
}

/* The schema as a type, and " | null" behind it where it is nullable and does not say so itself. */
static void nullable_type(const goss_json *j, int schema, int indent, goss_buf *text)
{
    const size_t from = text->len;
    goss_harmony_type(j, schema, indent, text);
    if (!goss_json_bool(j, goss_json_get(j, schema, "nullable"), 0)) return;
    for (size_t i = from; i + 4 <= text->len; i++)
        if (!memcmp(text->data + i, "null", 4)) return;
    goss_buf_str(text, " | null");
}

/* " // desc default: x" behind a variant of oneOf. */
static void variant_comment(const goss_json *j, int variant, int with_description, int enum_as_json,
                            goss_buf *text)
{
    const int description = goss_json_get(j, variant, "description"),
              value = goss_json_get(j, variant, "default");
    const int described = with_description && is_string(j, description);
    if (!described && value < 0) return;
    goss_buf_str(text, " // ");
    if (described) goss_json_string(j, description, text);
    if (value < 0) return;
    goss_buf_str(text, described ? " default: " : "default: ");
    if (enum_as_json && is_enum(j, variant))
        goss_json_write(j, value, text);
    else
        default_value(j, variant, value, text);
}

/* ---- types ---- */

static void one_of_type(const goss_json *j, int variants, int indent, goss_buf *text)
{
    for (int k = goss_json_first(j, variants); k >= 0; k = goss_json_next(j, k)) {
        goss_buf_str(text, "\n");
        indentation(indent, text);
        goss_buf_str(text, " | ");
        nullable_type(j, k, indent + 3, text);
        variant_comment(j, k, 1, 1, text);
    }
}

/* The names of a "type" that is an array; 0 when there are none. */
static int listed_types(const goss_json *j, int types, goss_buf *text)
{
    int n = 0;
    for (int k = goss_json_first(j, types); k >= 0; k = goss_json_next(j, k)) {
        if (!is_string(j, k)) continue;
        if (n++) goss_buf_str(text, " | ");
        if (goss_json_is(j, k, "integer"))
            goss_buf_str(text, "number");
        else
            goss_json_string(j, k, text);
    }
    return n;
}

static void string_type(const goss_json *j, int schema, goss_buf *text)
{
    int n = 0;
    const int values = goss_json_get(j, schema, "enum");
    for (int k = is_array(j, values) ? goss_json_first(j, values) : -1; k >= 0; k = goss_json_next(j, k)) {
        if (!is_string(j, k)) continue;
        goss_buf_str(text, n++ ? " | \"" : "\"");
        goss_json_string(j, k, text);
        goss_buf_str(text, "\"");
    }
    if (!n) goss_buf_str(text, "string");
}

static int same_string(const goss_json *j, int a, int b)
{
    return is_string(j, a) && is_string(j, b) && !goss_json_compare(j, a, b);
}

/* The names in an object's "required", sorted. */
typedef struct names { uint32_t n, *nodes; } names;

static int order_names(const void *records, uint32_t a, uint32_t b)
{
    return goss_json_compare(records, (int)a, (int)b);
}

static int list_names(const goss_json *j, int array, names *out)
{
    *out = (names){ 0 };
    if (!is_array(j, array) || goss_json_first(j, array) < 0) return 0;
    if (!(out->nodes = goss_mem_array(j->nodes[array].n, sizeof *out->nodes))) return GOSS_ENOMEM;
    for (int k = goss_json_first(j, array); k >= 0; k = goss_json_next(j, k))
        if (is_string(j, k)) out->nodes[out->n++] = (uint32_t)k;
    goss_order(out->nodes, out->n, order_names, j);
    return 0;
}

static int has_name(const goss_json *j, const names *list, int key)
{
    uint32_t from = 0, to = list->n;
    while (from < to) {
        const uint32_t mid = from + (to - from) / 2;
        const int c = goss_json_compare(j, (int)list->nodes[mid], key);
        if (!c) return 1;
        if (c < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return 0;
}

static void property_name(const goss_json *j, int key, const names *required, int indent, const char *after,
                          goss_buf *text)
{
    indentation(indent, text);
    goss_json_string(j, key, text);
    goss_buf_str(text, has_name(j, required, key) ? "" : "?");
    goss_buf_str(text, after);
}

/* A property whose schema is a choice: its variants stand below it, a line each. */
static void one_of_property(const goss_json *j, int key, int value, const names *required, int indent,
                            goss_buf *text)
{
    const int variants = goss_json_get(j, value, "oneOf"), first = goss_json_first(j, variants);
    const int description = goss_json_get(j, value, "description"),
              standard = goss_json_get(j, value, "default");
    const int repeated = same_string(j, description, goss_json_get(j, first, "description"));
    const int above = !repeated && comment(j, description, indent, "// ", "\n", text);
    if (standard >= 0) {
        indentation(indent, text);
        goss_buf_str(text, "// default: ");
        default_value(j, value, standard, text);
        goss_buf_str(text, "\n");
    }
    property_name(j, key, required, indent, ":\n", text);
    for (int k = first; k >= 0; k = goss_json_next(j, k)) {
        indentation(indent, text);
        goss_buf_str(text, " | ");
        nullable_type(j, k, indent + 3, text);
        const int same = same_string(j, description, goss_json_get(j, k, "description"));
        variant_comment(j, k, !same && !(k == first && above), 0, text);
        goss_buf_str(text, "\n");
    }
    indentation(indent, text);
    goss_buf_str(text, ",\n");
}

static void plain_property(const goss_json *j, int key, int value, const names *required, int indent,
                           goss_buf *text)
{
    const int standard = goss_json_get(j, value, "default");
    property_name(j, key, required, indent, ": ", text);
    nullable_type(j, value, indent + 4, text);
    goss_buf_str(text, ",");
    if (standard >= 0 && goss_json_get(j, value, "oneOf") < 0) {
        goss_buf_str(text, " // default: ");
        default_value(j, value, standard, text);
    }
    goss_buf_str(text, "\n");
}

static void property(const goss_json *j, int key, const names *required, int indent, goss_buf *text)
{
    const int value = goss_json_next(j, key), examples = goss_json_get(j, value, "examples");
    if (comment(j, goss_json_get(j, value, "title"), indent, "// ", "\n", text)) {
        indentation(indent, text);
        goss_buf_str(text, "//\n");
    }
    if (goss_json_get(j, value, "oneOf") < 0)
        comment(j, goss_json_get(j, value, "description"), indent, "// ", "\n", text);
    if (is_array(j, examples) && goss_json_first(j, examples) >= 0) {
        indentation(indent, text);
        goss_buf_str(text, "// Examples:\n");
        for (int k = goss_json_first(j, examples); k >= 0; k = goss_json_next(j, k))
            comment(j, k, indent, "// - \"", "\"\n", text);
    }
    if (is_array(j, goss_json_get(j, value, "oneOf")))
        one_of_property(j, key, value, required, indent, text);
    else
        plain_property(j, key, value, required, indent, text);
}

static void object_type(const goss_json *j, int schema, int indent, goss_buf *text)
{
    const int properties = goss_json_get(j, schema, "properties");
    names required;
    if (list_names(j, goss_json_get(j, schema, "required"), &required)) {
        text->failed = GOSS_ENOMEM;
        return;
    }
    comment(j, goss_json_get(j, schema, "description"), indent, "// ", "\n", text);
    goss_buf_str(text, "{\n");
    if (goss_json_kind(j, properties) == GOSS_JSON_OBJECT)
        for (int k = goss_json_first(j, properties); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
            property(j, k, &required, indent, text);
    indentation(indent, text);
    goss_buf_str(text, "}");
    goss_mem_free(required.nodes);
}

void goss_harmony_type(const goss_json *j, int schema, int indent, goss_buf *text)
{
    const int variants = goss_json_get(j, schema, "oneOf"), type = goss_json_get(j, schema, "type");
    const int items = goss_json_get(j, schema, "items");
    if (is_array(j, variants)) {
        one_of_type(j, variants, indent, text);
        return;
    }
    if (is_array(j, type) && listed_types(j, type, text)) return;
    if (goss_json_is(j, type, "object"))
        object_type(j, schema, indent, text);
    else if (goss_json_is(j, type, "string"))
        string_type(j, schema, text);
    else if (goss_json_is(j, type, "number") || goss_json_is(j, type, "integer"))
        goss_buf_str(text, "number");
    else if (goss_json_is(j, type, "boolean"))
        goss_buf_str(text, "boolean");
    else if (goss_json_is(j, type, "array") && items < 0)
        goss_buf_str(text, "Array<any>");
    else if (goss_json_is(j, type, "array")) {
        goss_harmony_type(j, items, indent, text);
        goss_buf_str(text, "[]");
    } else
        goss_buf_str(text, "any");
}

/* ---- the section ---- */

/* Every line behind "// "; a line end at the very end begins no line. */
static void description_lines(goss_str s, goss_buf *text)
{
    for (uint64_t p = 0, e; p < s.n; p = e + 1) {
        for (e = p; e < s.n && s.s[e] != '\n'; e++) {}
        const uint64_t n = e > p && e < s.n && s.s[e - 1] == '\r' ? e - p - 1 : e - p;
        goss_buf_str(text, "// ");
        goss_buf_append(text, s.s + p, (size_t)n);
        goss_buf_str(text, "\n");
    }
}

static int one_function(const goss_tool *tool, goss_buf *text, goss_error *err)
{
    goss_json j = { 0 };
    if (!tool->name.s) return goss_fail(err, GOSS_EINVAL, -1, "a tool has no name");
    description_lines(tool->description, text);
    goss_buf_str(text, "type ");
    goss_harmony_name(tool->name, text);
    if (!tool->parameters.s) return goss_buf_str(text, " = () => any;\n\n");
    const int rc = goss_json_parse(&j, tool->parameters.s, (size_t)tool->parameters.n, NULL, err);
    if (!rc) {
        goss_buf_str(text, " = (_: ");
        goss_harmony_type(&j, 0, 0, text);
        goss_buf_str(text, ") => any;\n\n");
    }
    goss_json_free(&j);
    if (rc && err) err->position = -1; /* the place in a schema is no message */
    return rc ? rc : text->failed;
}

int goss_harmony_functions(const goss_tool *tools, int n, goss_buf *text, goss_error *err)
{
    goss_buf_str(text, "## functions\n\nnamespace functions {\n\n");
    for (int i = 0; i < n; i++) {
        const int rc = one_function(&tools[i], text, err);
        if (rc) return rc;
    }
    goss_buf_str(text, "} // namespace functions");
    return text->failed;
}
