// zod_cases.mjs - shapes that people write with zod, as the JSON schemas that zod makes of them, each with
// values that zod itself takes and refuses.
import { createRequire } from 'node:module';
const { z } = createRequire(import.meta.url)('zod');

const person = z.object({
    name: z.string(),
    age: z.number().int().min(0).max(150),
    email: z.email().optional(),
});
const tree = z.object({
    value: z.int(),
    get children() {
        return z.array(tree);
    },
});
// name, schema, values to try: zod says which of them are valid
const shapes = [
    ['string', z.string(), ['', 'a"b\\c\n', 1]],
    ['string lengths', z.string().min(2).max(4), ['a', 'ab', 'abcd', 'abcde']],
    ['string length', z.string().length(3), ['abc', 'ab']],
    ['regex', z.string().regex(/^[A-Z]{2}-\d+$/), ['AB-12', 'ab-12']],
    ['startsWith', z.string().startsWith('ab'), ['abc', 'bac']],
    ['endsWith', z.string().endsWith('yz'), ['xyz', 'xy']],
    ['includes', z.string().includes('mid'), ['amidst', 'a']],
    ['number', z.number(), [1.5, -2e-7, 1e21, '1']],
    ['int', z.int(), [9007199254740991, -9007199254740991, 1.5]],
    ['int32', z.int32(), [2147483647, -2147483648, 2147483648]],
    ['uint32', z.uint32(), [4294967295, -1]],
    ['float32', z.float32(), [1.5, 0]],
    ['positive', z.number().positive(), [0.5, 0, -1]],
    ['nonnegative int', z.int().nonnegative(), [0, 7, -1]],
    ['number range', z.number().gt(-1.5).lte(20.25), [-1.5, -1.4, 20.25, 20.26]],
    ['multipleOf', z.number().multipleOf(5), [15, 16, 0]],
    ['step of cents', z.number().multipleOf(0.25), [1.75, 1.3]],
    ['boolean', z.boolean(), [true, 0]],
    ['null', z.null(), [null, 0]],
    ['literal', z.literal('on'), ['on', 'off']],
    ['literals', z.literal(['a', 1, true]), ['a', 1, true, 'b']],
    ['enum', z.enum(['red', 'green']), ['red', 'blue']],
    ['email', z.email(), ['a.b@example.org', 'a@b', 'a..b@example.org']],
    ['uuid', z.uuid(), ['123e4567-e89b-12d3-a456-426614174000', '123']],
    ['url', z.url(), ['https://example.org/a?b=c', 'a b']],
    ['date', z.iso.date(), ['2024-02-29', '2023-02-29']],
    ['datetime', z.iso.datetime(), ['2025-06-28T14:30:00Z', '2025-06-28']],
    ['time', z.iso.time(), ['14:30:00', '25:00:00']],
    ['duration', z.iso.duration(), ['P3DT4H', 'P']],
    ['ipv4', z.ipv4(), ['192.168.0.1', '256.1.1.1']],
    ['ipv6', z.ipv6(), ['2001:db8::1', 'x']],
    ['base64', z.base64(), ['aGVsbG8=', 'a']],
    ['array', z.array(z.string()).min(1).max(3), [[], ['a'], ['a', 'b', 'c', 'd']]],
    ['tuple', z.tuple([z.string(), z.int()]), [['a', 1], ['a'], ['a', 1, 2]]],
    [
        'tuple with rest',
        z.tuple([z.string()]).rest(z.boolean()),
        [
            ['a', true, false],
            ['a', 1],
        ],
    ],
    ['record', z.record(z.string(), z.int()), [{ a: 1, b: 2 }, { a: 'x' }]],
    ['record of an enum', z.record(z.enum(['a', 'b']), z.int()), [{ a: 1, b: 2 }, { a: 1 }]],
    [
        'object',
        person,
        [
            { name: 'x', age: 3 },
            { name: 'x', age: 3, email: 'a@b.co' },
            { name: 'x', age: -1 },
        ],
    ],
    [
        'strict object',
        z.strictObject({ a: z.int(), b: z.string().nullable() }),
        [
            { a: 1, b: null },
            { a: 1, b: 'x', c: 1 },
        ],
    ],
    ['union', z.union([z.string(), z.int(), z.object({ a: z.null() })]), ['a', 1, { a: null }, true]],
    [
        'discriminated union',
        z.discriminatedUnion('kind', [
            z.object({ kind: z.literal('a'), x: z.int() }),
            z.object({ kind: z.literal('b'), y: z.string() }),
        ]),
        [
            { kind: 'a', x: 1 },
            { kind: 'b', y: 'z' },
            { kind: 'b', x: 1 },
        ],
    ],
    ['recursive object', tree, [{ value: 1, children: [{ value: 2, children: [] }] }, { value: 1 }]],
];

/** Cases as run_try.mjs takes them; zod's own opinion judges the walks, too. */
export function zodCases() {
    return shapes.map(([name, shape, values]) => ({
        name: `zod ${name}`,
        schema: z.toJSONSchema(shape),
        tests: values.map((data) => ({ data, valid: shape.safeParse(data).success })),
    }));
}
