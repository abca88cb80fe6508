// strings.mjs - strings that tokenizers stumble over: a fixed list, and random ones from a seed. No lone
// surrogates.
export function random(seed) { // mulberry32
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return (n) => next() % n;
}

export const nasty = [
  '', ' ', '  ', '\n', '\r\n', '\r', '\t', '\u00a0', '\u3000', ' \n', '\n ', ' \n ', '\n\n\n',
  '   \n\n   x', 'a\r\n\r\nb', '\u0085x', '\u2028 y',
  "don't", "DON'T", "it'S", "we'LL'RE", "x'\u017f", "'s", "''s", "'sx",
  "I'll've'd", "L'été", "ab'c", "A'M", "'RE'VE",
  'e\u0301', 'a\u0301bc', '\u0301', '\u0301\u0302a', 'A\u0301B\u0302c',
  ' \u0301x', '1\u0301', '\u0301'.repeat(50),
  '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}\u200D\u{1F466}',
  '\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}', '\u{1F1E9}\u{1F1EA}', '\u2764\uFE0F',
  '12345678901234', '1a2B3c', '\u0663\u0664\u0665\u0666', '\u2167\u2168', '\u00bd\u00bc',
  '1,234.567', '3.14.15',
  '\u01c5\u01c5a', '\u02b0a\u02b0', '\u00aaAAAA', '\u00aaAAAA\u00aaBBBB',
  'ABCdefGHI', 'aBcDeF', '\u4e2dA\u6587b',
  '\u65e5\u672c\u8a9eABC\u30c6\u30b9\u30c8', '\ud55c\uad6d\uc5b4',
  '///', '/\n/', 'a//\r\n/b', '!!!\n\n', '?!\r\n\r\nx', ' ...', '  ...',
  '<|start|>', '<|end|>x', 'a<|message|>',
  '\u0000', '\u0001\u0002', '\uFEFFx', '\uFFFD', '\u{10FFFF}',
  'a'.repeat(1000), 'ab'.repeat(1000), ' '.repeat(1000), ' '.repeat(999) + 'x',
  '\n'.repeat(500), '='.repeat(700),
  '\u4e2d'.repeat(300), '\u{1F680}'.repeat(100), '0'.repeat(333),
  'supercalifragilisticexpialidocious', 'xn--bcher-kva', 'f(x)=\\frac{1}{2}', '{"a":[1,2,{"b":null}]}',
  '\tif (x) {\r\n\t\treturn;\r\n\t}', '\u200b\u200c\u200d', ' \uFEFF x\uFEFF\uFEFF',
  'a\u0085\u0085 b', '\u180e x',
  'İıſK',
];

const words = ('the of and to in is you that it he was for on are as with his they I at be this have ' +
  'from or one had by word but not what all were we when your can said there use an each which she do how ' +
  'their if will up other about out many then them these so some her would make like him into time has ' +
  'look two more write go see number no way could people my than first water been call who oil its now ' +
  'find long down day did get come made may part').split(' ');
const bits = ["'s", "'T", "'re", "'VE", "'m", "'ll", "'D", "'", '\u2019s',
  '  ', '   ', '\n', '\r\n', '\t', ' \n', '\u00a0', '\u3000', '.', ',', '!?', '...', '/', '//', '\\',
  '_', '-', '--', '"', '(', ')', '{', '}', '<|', '|>', '=', '+', '@', '#',
  '0', '7', '42', '999', '2024', '1000000', '\u0301', '\u0308', '\u200d', '\ufe0f', '\u{1F600}',
  '\u{1F468}\u200d\u{1F469}', '\u{1F44D}\u{1F3FD}'];
const ranges = [[0x20, 0x7f], [0x20, 0x7f], [0x41, 0x5b], [0x61, 0x7b], [0xa0, 0x250], [0x250, 0x370],
  [0x370, 0x400], [0x400, 0x530], [0x530, 0x600], [0x600, 0x700], [0x900, 0xa00], [0xe00, 0xf00],
  [0x10a0, 0x1100], [0x1100, 0x1200], [0x1e00, 0x2000], [0x2000, 0x2070], [0x2070, 0x2200], [0x2c00, 0x2e00],
  [0x3000, 0x3100], [0x4e00, 0x9fff], [0xa640, 0xa700], [0xac00, 0xd7a4], [0xe000, 0xe010], [0xf900, 0xfb00],
  [0xfe00, 0x10000], [0x10000, 0x10200], [0x10400, 0x10500], [0x1d400, 0x1d800], [0x1f300, 0x1fa00],
  [0x20000, 0x2a000], [0xe0000, 0xe0080], [0, 0x110000]];

export function randomString(r) {
  let s = '';
  const mode = r(6), n = 1 + r(mode === 0 ? 4 : 24), home = ranges[r(ranges.length)];
  for (let i = 0; i < n; i++) {
    const k = r(10);
    if (mode === 1 || (mode > 2 && k < 3)) {
      let w = words[r(words.length)];
      if (r(4) === 0) w = w[0].toUpperCase() + w.slice(1);
      if (r(9) === 0) w = w.toUpperCase();
      s += (r(5) ? ' ' : '') + w;
    }
    else if (k < 5) s += bits[r(bits.length)].repeat(r(12) ? 1 : 1 + r(6));
    else {
      const [lo, hi] = mode === 2 || r(3) ? home : ranges[r(ranges.length)];
      let cp = lo + r(hi - lo);
      if (cp >= 0xd800 && cp < 0xe000) cp = 0x41;
      s += String.fromCodePoint(cp).repeat(r(10) ? 1 : 1 + r(5));
    }
  }
  return s;
}
