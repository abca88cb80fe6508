"""recording.py - reads a recording by docs/recording.md alone: a second opinion on what the C code writes and reads."""
import gzip, json, struct, sys

FORMATS = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "f32": "f", "f64": "d"}
NONE = 0xffffffff


def members(data):
    """Each member's bytes with the first token and the number of tokens that its header names."""
    at = 0
    while at < len(data):
        head = data[at:at + 28]
        assert head[:4] == b"\x1f\x8b\x08\x04" and head[10:16] == b"\x10\x00GR\x0c\x00", f"no member at {at}"
        size, first, n = struct.unpack("<III", head[16:28])
        yield data[at:at + size], first, n
        at += size
    assert at == len(data), "the last member is cut"


def blocks(plain):
    at = 0
    while at < len(plain):
        magic, version, head, data = struct.unpack("<4sIII", plain[at:at + 16])
        assert magic == b"GREC" and version == 1 and head % 8 == 0 and data % 8 == 0
        begin = at + 16 + head
        yield json.loads(plain[at + 16:begin]), plain[begin:begin + data]
        at = begin + data


def nested(values, shape):
    for n in reversed(shape[1:]):
        values = [values[i:i + n] for i in range(0, len(values), n)]
    return values


def columns(head, data):
    out = {}
    for c in head.get("columns", []):
        n = 1
        for d in c["shape"]:
            n *= d
        assert c["at"] % 8 == 0
        out[c["name"]] = nested(list(struct.unpack_from(f"<{n}{FORMATS[c['type']]}", data, c["at"])), c["shape"])
    return out


class Recording:
    """tokens: dictionaries; steps: (begun, took, rows, ...); turns by number; words by id; stages timed."""
    def __init__(self, path):
        data = open(path, "rb").read()
        self.bytes, self.tokens, self.steps, self.turns, self.ends = len(data), [], [], {}, {}
        self.words, self.head, self.end, self.lines, self.timed, self.memory = {}, None, None, [], [], []
        for member, first, n in members(data):
            plain = gzip.decompress(member)
            for head, body in blocks(plain):
                self.take(head, body, first, n)

    def take(self, head, body, first, n):
        if head["kind"] == "head":
            self.head = head
        elif head["kind"] == "lines":
            self.lines += [json.loads(line) for line in body.decode().rstrip(" ").splitlines()]
        elif head["kind"] == "end":
            self.end = head
        elif head["kind"] == "tokens":
            assert self.head, "tokens before the head"
            c = columns(head, body)
            assert head["first"] == first == len(self.tokens) and len(c["id"]) == n
            assert head["first_step"] == len(self.steps)
            self.turns.update({t["turn"]: t for t in head["turns"]})
            self.ends.update({t["turn"]: t for t in head["ends"]})
            if "memory" in head:
                self.memory.append(head["memory"])
            at = 0
            for id, size in zip(c["word_id"], c["word_size"]):
                self.words[id] = bytes(c["word"][at:at + size])
                at += size
            assert at == len(c["word"])
            names = [k for k in c if not k.startswith(("word", "step_", "stage_", "ends_")) or k == "step"]
            for i in range(n):
                token = {k: c[k][i] for k in names}
                token["channel"] = head["channels"][token["channel"]]
                self.tokens.append(token)
                assert all(id in self.words for id in [token["id"], *token["top_id"]] if id >= 0)
            self.steps += zip(c["step_ms"], c["step_took"], c["step_rows"], c["step_prompt_rows"], c["step_sessions"],
                              c["step_drafted"], c["step_accepted"])
            self.timed += list(zip(c.get("stage_step", []), c.get("stage_us", []), c.get("ends_us", [])))

    def turn(self, number):
        """The turn's tokens with those of the turns that it goes on from, by position."""
        t = self.turns[number]
        before = self.turn(t["of"])[:t["from"]] if t["of"] >= 0 else []
        return before + [x for x in self.tokens if x["turn"] == number]


if __name__ == "__main__":
    r = Recording(sys.argv[1])
    print(f"{len(r.tokens)} tokens, {len(r.steps)} steps, {r.bytes} bytes, {'whole' if r.end else 'cut'}")
