/* formats.c - see formats.h. Each pattern lets through a subset of what its RFC does, nothing else: no leap
 * seconds, no year 0, no comments in addresses. */
#include "formats.h"

/* RFC 3339. Months of 31 and of 30 days, February, and the 29th of leap years. */
#define YEAR "(000[1-9]|00[1-9]\\d|0[1-9]\\d\\d|[1-9]\\d{3})"
#define LEAP "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                                \
    "(" YEAR "-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[" \
    "0-8]))|" LEAP "-02-29)"
#define TIME "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d+)?([Zz]|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
#define DAYS "(\\d+D|\\d+M(\\d+D)?|\\d+Y(\\d+M)?(\\d+D)?)"
#define HOURS "T(\\d+S|\\d+M(\\d+S)?|\\d+H(\\d+M)?(\\d+S)?)"

/* Labels of 63 at most, three of them; of 62, four; or of 19, 12 of them: names of 253 at most. */
#define LABEL(n) "[A-Za-z0-9]([A-Za-z0-9-]{0," n "}[A-Za-z0-9])?"
#define HOST                                                                                     \
    "(" LABEL("61") "(\\." LABEL("61") "){0,2}|" LABEL("60") "(\\." LABEL("60") "){0,3}|" LABEL( \
        "17") "(\\." LABEL("17") "){4,11})"
#define DOMAIN "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
#define ATOM(more) "[A-Za-z0-9!#$%&'*+/=?^_`{|}~" more "-]+"
#define MAIL(more) ATOM(more) "(\\." ATOM(more) ")*@(" DOMAIN "\\.)+" DOMAIN

#define BYTE "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4 "(" BYTE "\\.){3}" BYTE
#define H "[0-9A-Fa-f]{1,4}"
#define LAST "(" H ":" H "|" IPV4 ")"
#define IPV6                                                                                              \
    "((" H ":){6}" LAST "|::(" H ":){5}" LAST "|(" H ")?::(" H ":){4}" LAST "|((" H ":){0,1}" H ")?::(" H \
    ":){3}" LAST "|((" H ":){0,2}" H ")?::(" H ":){2}" LAST "|((" H ":){0,3}" H ")?::" H ":" LAST "|((" H \
    ":){0,4}" H ")?::" LAST "|((" H ":){0,5}" H ")?::" H "|((" H ":){0,6}" H ")?::)"

/* RFC 3986, and RFC 3987 with the letters of the basic plane beyond ASCII. */
#define WIDE "\xC2\xA0-\xED\x9F\xBF\xEF\xA4\x80-\xEF\xB7\x8F\xEF\xB7\xB0-\xEF\xBF\xAF"
#define HEX2 "%[0-9A-Fa-f]{2}"
#define PCHAR(more) "([A-Za-z0-9._~!$&'()*+,;=:@" more "-]|" HEX2 ")"
#define NO_COLON(more) "([A-Za-z0-9._~!$&'()*+,;=@" more "-]|" HEX2 ")"
#define NAME(more) "([A-Za-z0-9._~!$&'()*+,;=" more "-]|" HEX2 ")*"
#define USER(more) "(([A-Za-z0-9._~!$&'()*+,;=:" more "-]|" HEX2 ")*@)?"
#define PLACE(more) "//" USER(more) "(" NAME(more) "|\\[" IPV6 "\\])(:\\d*)?(/" PCHAR(more) "*)*"
#define ROOTED(more) "/(" PCHAR(more) "+(/" PCHAR(more) "*)*)?"
#define TAIL(more) "(\\?([/?]|" PCHAR(more) ")*)?(#([/?]|" PCHAR(more) ")*)?"
#define SCHEME "[A-Za-z][A-Za-z0-9+.-]*:"
#define URI(more) \
    "^" SCHEME "(" PLACE(more) "|" ROOTED(more) "|" PCHAR(more) "+(/" PCHAR(more) "*)*)" TAIL(more) "$"
#define URI_REFERENCE(more) \
    "^(" SCHEME ")?(" PLACE(more) "|" ROOTED(more) "|" NO_COLON(more) "+(/" PCHAR(more) "*)*)?" TAIL(more) "$"
#define VARIABLE "([A-Za-z0-9_]|" HEX2 ")+(\\.([A-Za-z0-9_]|" HEX2 ")+)*(:[1-9]\\d{0,3}|\\*)?"

/* Regular expressions, groups three deep. */
#define PIECE                                                                               \
    "([^\\^$\\\\.*+?()[\\]{}|/\"]|\\.|\\\\[dDwWsS^$\\\\.*+?()[\\]{}|/]|\\[\\^?[A-Za-z0-9_ " \
    ".,:;]+\\]|\\[[a][-][z]\\]|\\[0-9\\])"
#define TIMES "([*+?]|\\{[1-9]\\d?(,)?\\})?"
#define GROUP(inner) "(" PIECE TIMES "|\\((\\?:)?(" inner "|\\|)*\\)" TIMES ")"
#define GROUPS1 GROUP("(" PIECE TIMES ")")

static const struct {
    const char *name, *pattern;
} known[] = {
    { "date", "^" DATE "$" },
    { "time", "^" TIME "$" },
    { "date-time", "^" DATE "[Tt]" TIME "$" },
    { "duration", "^P(" DAYS "(" HOURS ")?|" HOURS "|\\d+W)$" },
    { "email", "^" MAIL("") "$" },
    { "idn-email", "^" MAIL(WIDE) "$" },
    { "hostname", "^" HOST "$" },
    { "ipv4", "^" IPV4 "$" },
    { "ipv6", "^" IPV6 "$" },
    { "uri", URI("") },
    { "uri-reference", URI_REFERENCE("") },
    { "iri", URI(WIDE) },
    { "iri-reference", URI_REFERENCE(WIDE) },
    { "uri-template", "^([^ \"'<>%\\\\^`{|}]|" HEX2 "|\\{[+#./;?&]?" VARIABLE "(," VARIABLE ")*\\})*$" },
    { "uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$" },
    { "json-pointer", "^(/([^~/]|~[01])*)*$" },
    { "relative-json-pointer", "^(0|[1-9]\\d*)(#|(/([^~/]|~[01])*)*)$" },
    { "regex", "^(\\^?" GROUPS1 "*\\$?)$" },
    { "idn-hostname", "" },
};

const char *goss_format_pattern(const goss_json *j, int name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (goss_json_is(j, name, known[i].name)) return known[i].pattern;
    return 0;
}
