// random_cases.mjs - schemas drawn from a seed, small enough that their keywords meet, and values drawn near
// them. ajv says which values are valid.
import { judge } from './judge.mjs';

export function random(seed) {
    let s = BigInt(seed) * 2654435761n + 1n;
    return (n) => {
        s = (s * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
        return Number((s >> 33n) % BigInt(n));
    };
}

const names = ['a', 'b', 'ab', 'c'];
const strings = ['', 'a', 'ab', 'b', 'abc', 'a1', '2024-02-29', '1.2.3.4', 'x y', 'é', '"', '\\', '\n'];
const numbers = [0, 1, -1, 2, 3, 5, 6, 10, 12, 0.5, 1.5, -2.5, 2.25, 100, 1e3];
const patterns = [
    '^a',
    'b$',
    '^[a-c]*$',
    '^(a|b)+$',
    '\\d',
    '^.{2}$',
    '^a|b$',
    '[^a]',
    '^$',
    '(?=.*b)a',
    '^(?!ab)',
];
const formats = ['date', 'ipv4', 'uri', 'email', 'uuid', 'time', 'my-own'];

// unevaluated*: at the top only, since ajv forgets what nested ones have evaluated.
/** draw: random(seed); depth: how much deeper it may go. */
export function drawSchema(draw, depth) {
    const pick = (list) => list[draw(list.length)];
    const sub = () => (draw(12) === 0 ? draw(4) > 0 : drawSchema(draw, depth - 1));
    const some = (n, make) => Array.from({ length: 1 + draw(n) }, make);
    const members = (keys) => Object.fromEntries(some(3, () => [pick(keys), sub()]));
    const keywords = {
        type: () =>
            draw(4)
                ? pick(['string', 'number', 'integer', 'boolean', 'null', 'array', 'object'])
                : [...new Set(some(3, () => pick(['string', 'number', 'object', 'array', 'null'])))],
        enum: () => some(4, () => drawValue(draw, 1)),
        const: () => drawValue(draw, 1),
        minimum: () => pick(numbers),
        maximum: () => pick(numbers),
        exclusiveMinimum: () => pick(numbers),
        exclusiveMaximum: () => pick(numbers),
        multipleOf: () => pick([1, 2, 3, 0.5, 0.25, 10]),
        minLength: () => draw(3),
        maxLength: () => draw(4),
        pattern: () => pick(patterns),
        format: () => pick(formats),
        minItems: () => draw(3),
        maxItems: () => draw(4),
        minProperties: () => draw(3),
        maxProperties: () => draw(4),
        required: () => [...new Set(some(2, () => pick(names)))],
    };
    const deep = {
        properties: () => members(names),
        additionalProperties: sub,
        patternProperties: () => members(['^a', 'b', 'c$']),
        propertyNames: sub,
        items: sub,
        prefixItems: () => some(2, sub),
        contains: sub,
        minContains: () => draw(3),
        maxContains: () => 1 + draw(2),
        anyOf: () => some(3, sub),
        oneOf: () => some(3, sub),
        allOf: () => some(3, sub),
        not: sub,
        if: sub,
        then: sub,
        else: sub,
        dependentRequired: () => ({ [pick(names)]: [pick(names)] }),
        dependentSchemas: () => members(names),
        $ref: () => '#/$defs/d', // made by the caller
    };
    const schema = {};
    for (const k of some(3, () => pick(Object.keys(keywords)))) schema[k] = keywords[k]();
    if (depth > 0) for (const k of some(3, () => pick(Object.keys(deep)))) schema[k] = deep[k]();
    if (depth === 2 && draw(6) === 0) schema[pick(['unevaluatedProperties', 'unevaluatedItems'])] = sub();
    return schema;
}

export function drawValue(draw, depth) {
    const pick = (list) => list[draw(list.length)];
    switch (draw(depth > 0 ? 9 : 6)) {
        case 0:
            return null;
        case 1:
            return draw(2) === 0;
        case 2:
        case 3:
            return pick(numbers);
        case 4:
        case 5:
            return pick(strings);
        case 6:
            return Array.from({ length: draw(4) }, () => drawValue(draw, depth - 1));
        default:
            return Object.fromEntries(
                Array.from({ length: draw(4) }, () => [pick([...names, 'd']), drawValue(draw, depth - 1)]),
            );
    }
}

/** Cases for run_try.mjs; schemas that ajv can't compile are drawn again. */
export function randomCases(seed, n) {
    const draw = random(seed),
        cases = [];
    while (cases.length < n) {
        const flat = JSON.parse(JSON.stringify(drawSchema(draw, 1)), (key, v) =>
            key === '$ref' ? undefined : v,
        );
        const schema = { ...drawSchema(draw, 2), $defs: { d: flat } };
        const j = judge(schema);
        if (!j) continue;
        const tests = Array.from({ length: 24 }, () => drawValue(draw, 2)).map((data) => ({
            data,
            valid: j.root(data),
        }));
        cases.push({ name: `seed ${seed} number ${cases.length}: ${JSON.stringify(schema)}`, schema, tests });
    }
    return cases;
}
