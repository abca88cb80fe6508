// judge.mjs - ajv as the second opinion: a validator for a schema of any draft, formats asserted.
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const formats = require('ajv-formats');
const makers = {
    2020: require('ajv/dist/2020').default,
    2019: require('ajv/dist/2019').default,
    7: require('ajv').default,
};
// The others that ajv-formats knows (int32, url, byte, ...) are not the standard's: they say nothing.
const standard = [
    'date',
    'time',
    'date-time',
    'duration',
    'email',
    'hostname',
    'ipv4',
    'ipv6',
    'uri',
    'uri-reference',
    'uri-template',
    'uuid',
    'json-pointer',
    'relative-json-pointer',
    'regex',
];
const options = {
    strict: false,
    validateSchema: false,
    allErrors: false,
    logger: false,
    multipleOfPrecision: 9,
    validateFormats: true,
};

/** 2020, 2019 or 7 (which ajv takes for 4 and 6 as well) by "$schema"; `absent` without one. */
export function draft(schema, absent = 2020) {
    const uri = typeof schema?.$schema === 'string' ? schema.$schema : '';
    return /2020-12/.test(uri) ? 2020 : /2019-09/.test(uri) ? 2019 : /draft-0/.test(uri) ? 7 : absent;
}

/** Draft 4's boolean bounds as draft 6 has them, and nothing beside $ref in draft 7 and before, where ajv
 *  is newer than the standard. Nothing else is changed. */
function modern(x, old, top = true) {
    if (x === null || typeof x !== 'object') return x;
    if (Array.isArray(x)) return x.map((v) => modern(v, old, false));
    if (old && typeof x.$ref === 'string' && !top) return { $ref: x.$ref };
    const out = {};
    for (const [k, v] of Object.entries(x))
        out[k] =
            k === 'enum' || k === 'const' || k === 'default' || k === 'examples' ? v : modern(v, old, false);
    for (const [flag, bound] of [
        ['exclusiveMinimum', 'minimum'],
        ['exclusiveMaximum', 'maximum'],
    ]) {
        if (typeof out[flag] !== 'boolean') continue;
        const bounded = out[flag] && typeof out[bound] === 'number';
        if (bounded) {
            out[flag] = out[bound];
            delete out[bound];
        } else delete out[flag];
    }
    delete out.$async;
    if (top) {
        delete out.id;
        delete out.$schema;
        if (typeof out.$id !== 'string') delete out.$id;
    }
    return out;
}

/** {root(value), at(pointer, value)}: whether a value is valid; null where ajv can't compile the schema. */
export function judge(schema, absent = 2020) {
    const build = (unicodeRegExp) => {
        const ajv = new makers[draft(schema, absent)]({ ...options, unicodeRegExp });
        formats(ajv, { mode: 'full', formats: standard });
        const name = 'schema:root',
            plain = typeof schema === 'boolean' ? schema : { ...modern(schema, draft(schema, absent) === 7) };
        if (typeof plain === 'object') delete plain.$id;
        ajv.addSchema(plain, name);
        const root = ajv.compile({ $ref: `${name}#` }),
            parts = new Map();
        const at = (pointer, value) => {
            if (!parts.has(pointer)) {
                let part = () => false;
                try {
                    part = ajv.compile({
                        $ref: name + pointer.split('/').map(encodeURIComponent).join('/').replace('%23', '#'),
                    });
                } catch {
                    /* nothing there */
                }
                parts.set(pointer, part);
            }
            return parts.get(pointer)(value);
        };
        return { root, at };
    };
    for (const unicode of [true, false])
        try {
            return build(unicode);
        } catch {
            /* a pattern of the older language, or no schema */
        }
    return null;
}
