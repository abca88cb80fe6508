// check.mjs - runs gossamer-check's wasm modules under node. usage: node check.mjs MODULE [SEED] [--bench]
import { readFileSync } from 'node:fs';
const [module, seed = String(Date.now() % 1000007)] = process.argv.slice(2);
let memory;
const text = p => {
    const b = new Uint8Array(memory.buffer);
    let e = p;
    while (b[e]) e++;
    return new TextDecoder().decode(b.slice(p, e));
};
const host = {
    say: (l, t, w, i, got, want) =>
        console.log(`  ${text(l)} ${text(t)}: ${text(w)} at ${i}: got ${got}, should be ${want}`),
    time: (l, t, w, ns, gb, gmac) => console.log(`  ${text(l)} ${text(t)} ${text(w)}: ` +
        `${ns.toFixed(1)} ns ${gb.toFixed(2)} GB/s ${gmac.toFixed(2)} GMAC/s`),
    now_ns: () => performance.now() * 1e6,
};
const bytes = readFileSync(module);
if (!WebAssembly.validate(bytes)) {
    console.log(`SKIP ${module}: this node has no such SIMD`);
    process.exit(0);
}
const { instance } = await WebAssembly.instantiate(bytes, { host });
memory = instance.exports.memory;
const r = instance.exports.check_main(Number(seed), process.argv.includes('--bench') ? 1 : 0);
console.log(`check ${module.split('/').pop()} --seed ${seed}: ` +
    `${r % 1000} passed, ${Math.floor(r / 1000)} failed`);
process.exit(r >= 1000 ? 1 : 0);
