// order.mjs - an instance as the automata take it: compact, with the properties that its schema declares
// first, in the schema's order, then the others in their own.  The order is that of the schema's text:
// `properties` where it stands, what `$ref`, `allOf`, `anyOf`, `oneOf`, `then`, `else` and `dependentSchemas`
// lead to where they stand. Of alternatives the first counts that takes the value.
const escape = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
const isObject = (x) => x !== null && typeof x === 'object' && !Array.isArray(x);

/** What "#..." leads to as [schema, pointer], or null. */
function target(root, ref) {
    if (typeof ref !== 'string' || !ref.startsWith('#')) return null;
    let at = root;
    for (const part of ref.split('/').slice(1)) {
        const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
        if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return null;
        at = at[name];
    }
    return [at, ref];
}

/** `valid(pointer, value)` says whether the schema there takes the value. */
export function ordered(root, instance, valid) {
    function visit(schema, pointer, value, found, seen) {
        if (!isObject(schema) || seen.has(pointer)) return;
        seen.add(pointer);
        found.nodes.push([schema, pointer]);
        const go = (sub, path) => visit(sub, `${pointer}/${path}`, value, found, seen);
        const first = (key) => {
            const i = Array.isArray(schema[key])
                ? schema[key].findIndex((_, n) => valid(`${pointer}/${key}/${n}`, value))
                : -1;
            if (i >= 0) go(schema[key][i], `${key}/${i}`);
        };
        for (const key of Object.keys(schema)) {
            const v = schema[key];
            if (key === 'properties' && isObject(v)) found.names.push(...Object.keys(v));
            else if (key === '$ref') {
                const to = target(root, v);
                if (to) visit(to[0], to[1], value, found, seen);
            } else if (key === 'allOf' && Array.isArray(v)) v.forEach((s, i) => go(s, `allOf/${i}`));
            else if (key === 'anyOf' || key === 'oneOf') first(key);
            else if (key === 'if') {
                const yes = valid(`${pointer}/if`, value);
                if (yes) go(v, 'if');
                if (schema[yes ? 'then' : 'else'] !== undefined)
                    go(schema[yes ? 'then' : 'else'], yes ? 'then' : 'else');
            } else if (
                (key === 'dependentSchemas' || key === 'dependencies') &&
                isObject(v) &&
                isObject(value)
            )
                for (const name of Object.keys(v))
                    if (Object.hasOwn(value, name)) go(v[name], `${key}/${escape(name)}`);
        }
    }
    /** The schemas of a member, or of an item. */
    function below(nodes, name) {
        const out = [];
        for (const [s, pointer] of nodes) {
            let known = false;
            if (isObject(s.properties) && Object.hasOwn(s.properties, name)) {
                out.push([s.properties[name], `${pointer}/properties/${escape(name)}`]);
                known = true;
            }
            for (const pattern of Object.keys(isObject(s.patternProperties) ? s.patternProperties : {})) {
                let matches = false;
                try {
                    matches = new RegExp(pattern, 'u').test(name);
                } catch {
                    /* no pattern of this language */
                }
                if (!matches) continue;
                out.push([s.patternProperties[pattern], `${pointer}/patternProperties/${escape(pattern)}`]);
                known = true;
            }
            if (!known && isObject(s.additionalProperties))
                out.push([s.additionalProperties, `${pointer}/additionalProperties`]);
        }
        return out;
    }
    function item(nodes, i) {
        const out = [];
        for (const [s, pointer] of nodes) {
            const list = Array.isArray(s.prefixItems) ? 'prefixItems' : 'items';
            const rest = Array.isArray(s.items) ? 'additionalItems' : 'items';
            if (Array.isArray(s[list]) && i < s[list].length)
                out.push([s[list][i], `${pointer}/${list}/${i}`]);
            else if (isObject(s[rest])) out.push([s[rest], `${pointer}/${rest}`]);
        }
        return out;
    }
    function put(value, schemas) {
        if (value === null || typeof value !== 'object') return value;
        const found = { names: [], nodes: [] },
            seen = new Set();
        for (const [s, pointer] of schemas) visit(s, pointer, value, found, seen);
        const listed = found.nodes.flatMap(([s]) => [
            ...(Array.isArray(s.enum) ? s.enum : []),
            ...('const' in s ? [s.const] : []),
        ]);
        const same = listed.find((v) => canonical(v) === canonical(value));
        if (same !== undefined) return same;
        if (Array.isArray(value)) return value.map((v, i) => put(v, item(found.nodes, i)));
        const keys = [
            ...new Set([...found.names.filter((n) => Object.hasOwn(value, n)), ...Object.keys(value)]),
        ];
        return new Map(keys.map((k) => [k, put(value[k], below(found.nodes, k))]));
    }
    return write(put(instance, [[root, '#']]));
}

/** The same text for equal values. */
function canonical(v) {
    if (v === null || typeof v !== 'object') return String(v) === '-0' ? '0' : write(v);
    if (Array.isArray(v)) return `[${v.map(canonical)}]`;
    return `{${Object.keys(v)
        .sort()
        .map((k) => `${JSON.stringify(k)}:${canonical(v[k])}`)}}`;
}

/** Parses with whole numbers beyond 2^53 as BigInt, so that no digit is lost. */
export const parse = (text) =>
    JSON.parse(text, (key, v, context) =>
        typeof v === 'number' && !Number.isSafeInteger(v) && /^-?\d+$/.test(context?.source ?? '')
            ? BigInt(context.source)
            : v,
    );

/** The same for those who know numbers only. */
export function numbers(v) {
    if (typeof v === 'bigint') return Number(v);
    if (v === null || typeof v !== 'object') return v;
    return Array.isArray(v)
        ? v.map(numbers)
        : Object.fromEntries(Object.entries(v).map(([k, x]) => [k, numbers(x)]));
}

/** JSON, where a Map is an object: JavaScript's own objects put names that are numbers first. */
export function write(v) {
    if (typeof v === 'bigint') return String(v);
    if (v !== null && typeof v === 'object' && !Array.isArray(v) && !(v instanceof Map))
        return write(new Map(Object.entries(v)));
    if (v instanceof Map) return `{${[...v].map(([k, x]) => `${JSON.stringify(k)}:${write(x)}`).join(',')}}`;
    if (Array.isArray(v)) return `[${v.map(write).join(',')}]`;
    return JSON.stringify(v);
}
