#!/usr/bin/env python3
"""check.py GOSSAMER FOLDER - recordings of the demo models against what gossamer probe says of the same tokens, and against
files that are cut or broken. Prints FAIL lines and then the counts."""
import gzip, json, math, os, re, signal, subprocess, sys, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
import xml.dom.minidom
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent))
from recording import NONE, Recording

gossamer, folder = sys.argv[1], Path(sys.argv[2])
demo, passed, failed = "models/demo-gptoss.gguf", 0, 0
os.environ["TZ"] = "UTC"              # server and command tell the model the same date
BACKEND = os.environ.get("RECORD_BACKEND", "cpu")


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok: print(f"FAIL {what}")


def call(*arguments, status=0, text=None):
    done = subprocess.run([gossamer, *map(str, arguments)], capture_output=True, text=True, input=text)
    check(done.returncode == status, f"status {done.returncode}, not {status}: {' '.join(map(str, arguments))[:160]}: {done.stderr[-200:]}")
    return done.stdout + done.stderr


def record(name, *arguments, text=None):
    path = folder / name
    call(*arguments, "--backend", BACKEND, "--record", path, text=text)
    return Recording(path)


def probe(part, ids, *more):
    return call("probe", part, demo, "--backend", BACKEND, "--tokens", ",".join(map(str, ids)), *more)


def pairs(text):
    """"  3 0.2500  7 0.1250" as [(3, 0.25), ...]"""
    return [(int(a), float(b)) for a, b in re.findall(r"  (\d+) (\d\.\d+)", text)]


def near(got, want, bound, what):
    """Lists of (number, weight), by weight: equal but for the order of such that are as good as equal."""
    check(len(got) == len(want) and all(abs(g[1] - w[1]) <= bound for g, w in zip(got, want)), f"{what}: {got}, not {want}")
    weight = dict(want)
    check(all(abs(weight.get(n, want[-1][1]) - w) <= bound for n, w in got), f"{what}: other ones: {got}, not {want}")


# ---- a chat: every value against probe's ---------------------------------------------------------------------------------
LAYER, HEAD = 2, 3
r = record("chat.grec", "run", demo, "-p", "Tell me a story", "--temp", "0", "-n", "60", "--date", "2026-11-29", "--watch-layer", LAYER,
           "--watch-head", HEAD)
model = r.head["model"]
check((model["name"], model["n_layer"], model["n_expert"], r.head["watch"]) == ("demo-gptoss", 6, 16, [LAYER, HEAD]), f"head: {r.head}")
check(r.end and r.end["tokens"] == len(r.tokens) and r.end["steps"] == len(r.steps), "the end's counts")
check(not any(os.getcwd() in json.dumps(line) for line in r.lines) and os.getcwd() not in json.dumps(r.head), "a path of this machine")
check(any(line["stage"] == "load_complete" for line in r.lines), "loading is in it")
turn, tokens = r.turns[0], r.turn(0)
check(turn["request"]["messages"] == [{"role": "user", "content": "Tell me a story"}], "the request")
check(r.ends[0]["stop"] == "length" and r.ends[0]["generated"] == 60, f"the end of the turn: {r.ends}")
check([t["position"] for t in tokens] == list(range(turn["prompt"] + 60)), "positions")
ids = [t["id"] for t in tokens]
check(b"".join(r.words[i] for i in ids).decode().count("Tell me a story") == 1, "the words of the prompt")
check({t["channel"] for t in tokens if t["kind"]} >= {"analysis", "final"}, "channels")
check(all(t["kind"] == (i >= turn["prompt"]) for i, t in enumerate(tokens)), "kinds")
answers = [t for t in tokens if t["kind"]]
check(all(t["id"] == t["top_id"][0] and abs(t["logprob"] - t["top_logprob"][0]) < 1e-6 for t in answers if t["channel"]), "greedy: the best one was taken")
check(all(math.isnan(t["logprob"]) and t["top_id"][0] == -1 and t["step"] == NONE for t in tokens if not t["kind"]), "no alternatives in prompts")
check(tokens[-1]["row_step"] == NONE and not any(map(any, tokens[-1]["expert_weight"])), "the last token went nowhere")
check(all(s[1] >= 0 and s[2] >= 1 for s in r.steps) and all(a[0] <= b[0] for a, b in zip(r.steps, r.steps[1:])), "steps")
if BACKEND == "cpu":
    check(r.timed and all(sum(map(sum, stages)) > 0 and ends[1] > 0 for _, stages, ends in r.timed), "stages are timed")
decoded = BACKEND == "gpu"           # a GPU tells of rows that decode
check(all(t["row_step"] != NONE and any(map(any, t["expert_weight"])) and t["look"][0] != NONE
          for t in tokens[turn["prompt"] if decoded else 0:-1]), "every row is there")
check(all(abs(sum(w) - 65535) <= 8 for t in answers[:-1] for w in t["expert_weight"]), "experts' weights sum to 1")
check(all(p <= t["position"] for t in tokens for p in t["look"] if p != NONE), "nobody looks ahead")

for p in (turn["prompt"] + 2, 90, 115):
    t = tokens[p]
    said = probe("lm-head", ids[:p], "--show-top", 5)
    best = [(int(a), float(b)) for a, b in re.findall(r"token +(\d+)  logit +\S+  p (\d\.\d+)", said)]
    near([(i, math.exp(x)) for i, x in zip(t["top_id"], t["top_logprob"])], best, 4e-3, f"alternatives of position {p}")
    check(abs(t["logprob"] - dict(zip(t["top_id"], t["top_logprob"])).get(t["id"], t["logprob"])) < 1e-6, "its own probability is among them")
    said = probe("router", ids[:p + 1], "--show-experts", p + 1)
    for layer in range(6):
        line = [x for x in said.splitlines() if x.startswith(f"layer {layer:3d} token")][-1]
        near([(e, w / 65535) for e, w in zip(t["expert"][layer], t["expert_weight"][layer])], pairs(line), 1e-2, f"experts of position {p}, layer {layer}")
    said = probe("attention", ids[:p + 1], "--layer", LAYER, "--head", HEAD)
    near([(a, w / 65535) for a, w in zip(t["look"], t["look_weight"]) if a != NONE],
         pairs(re.search(r"looks at:(.*)", said).group(1)), 2e-3, f"looks of position {p}")
if BACKEND == "cpu":
    said = probe("router", ids[:41], "--show-experts", 41)
    line = [x for x in said.splitlines() if x.startswith("layer   4 token")][-1]
    near([(e, w / 65535) for e, w in zip(tokens[40]["expert"][4], tokens[40]["expert_weight"][4])], pairs(line), 1e-4, "experts of a prompt's token")

if BACKEND == "gpu":                 # the rest is the same for every backend
    print(f"record: {passed} passed, {failed} failed")
    sys.exit(failed > 0)

# ---- gossamer replay ----------------------------------------------------------------------------------------------------
path = folder / "chat.grec"
said = call("replay", path)
check("[user] Tell me a story" in said and "[final] Once upon" in said and "ends early" not in said, f"replay: {said[:300]}")
said = call("replay", path, "--position", 90)
t = tokens[90]
check(all(f"token {i:6d}  p {math.exp(x):.6f}" in said for i, x in zip(t["top_id"], t["top_logprob"])), f"replay --position: {said}")
check(f"layer {LAYER}, head {HEAD} looked at:  {t['look'][0]} {t['look_weight'][0] / 65535:.4f}" in said, f"replay: looks: {said}")
lines = [json.loads(x) for x in call("replay", path, "--format", "lines").splitlines()]
kinds = [x["event"]["type"] if "event" in x else x["stage"] for x in lines]
check(kinds.count("token_generated") == 60 and kinds.count("router") >= 59 * 6 and "load_complete" in kinds and kinds[-1] == "generation", f"lines: {set(kinds)}")
check([x["event"]["token_id"] for x in lines if x.get("event", {}).get("type") == "token_generated"] == ids[turn["prompt"]:], "lines: tokens")
for panel in ("timeline", "experts", "attention", "steps"):
    picture = xml.dom.minidom.parseString(call("replay", path, "--svg", panel, "--from", turn["prompt"], "--n", 40))
    marks = [x for x in picture.getElementsByTagName("rect") if x.getElementsByTagName("title")]
    check(len(marks) >= 40 and picture.getElementsByTagName("text"), f"--svg {panel}: {len(marks)} marks")
plain = folder / "plain.grec"
plain.write_bytes(gzip.decompress(path.read_bytes()))
check(call("replay", plain, "--tokens").split("\n", 1)[1] == call("replay", path, "--tokens").split("\n", 1)[1], "unpacked it is the same")

# ---- a server records into a folder -------------------------------------------------------------------------------------
def ask(port, text):
    body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 20, "temperature": 0}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))


serve = subprocess.Popen([gossamer, "serve", demo, "--port", "0", "--backend", BACKEND, "--record", str(folder / "served")],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in serve.stdout:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    if found: break
with ThreadPoolExecutor(2) as both:
    said = list(both.map(lambda text: ask(found.group(1), text), ("Tell me a story", "Count to five")))
serve.send_signal(signal.SIGTERM)
serve.communicate()
files = list((folder / "served").glob("*.grec"))
r = Recording(files[0]) if len(files) == 1 else None
check(r and r.end and len(r.turns) == 2 and all(e["generated"] == 20 for e in r.ends.values()), f"a server's recording: {files}")
if r:
    asked = sorted(t["request"]["messages"][-1]["content"] for t in r.turns.values())
    check(asked == ["Count to five", "Tell me a story"], f"what the server was asked: {asked}")
    check(all([x["position"] for x in r.turn(t)] == list(range(r.turns[t]["prompt"] + 20)) for t in r.turns), "both turns, token by token")
    for t in r.turns.values():
        alone = folder / "alone.grec"
        call("run", demo, "-p", t["request"]["messages"][-1]["content"], "-n", "20", "--temp", "0", "--backend", BACKEND, "--record", alone)
        check([x["id"] for x in Recording(alone).turn(0)] == [x["id"] for x in r.turn(t["turn"])], "the same tokens as alone")

# ---- what is cut or broken ----------------------------------------------------------------------------------------------
data = path.read_bytes()
broken = folder / "broken.grec"


def refused(bytes_, words, what):
    broken.write_bytes(bytes_)
    said = call("replay", broken, status=1)
    check(re.search(words, said) and said.count("\n") == 1, f"{what}: {said[:200]}")


refused(b"", "", "an empty file")
refused(b"GGUF and so on", "no recording", "another file")
refused(data[:40], "before its head", "a file that is cut in its head")
for at in (200, len(data) // 2, len(data) - 30):
    refused(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:], "damaged|unpacked|begin|JSON|size|lie", f"byte {at} changed")
raw = plain.read_bytes()
refused(raw[:4] + b"\2" + raw[5:], "version 2", "another version")
for at in (len(data) - 1, len(data) - 70, 2 * len(data) // 3):
    broken.write_bytes(data[:at])
    said = call("replay", broken)
    check("ends early" in said and "demo-gptoss" in said, f"cut at {at}: {said[:200]}")

# ---- killed while it writes ---------------------------------------------------------------------------------------------
killed = folder / "killed.grec"
run = subprocess.Popen([gossamer, "run", demo, "--raw", "-p", "Once", "--ignore-stop", "-n", "100000", "--backend", BACKEND, "--record", str(killed)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while run.poll() is None and (not killed.exists() or killed.stat().st_size < 40000): time.sleep(0.01)
run.send_signal(signal.SIGKILL)
run.wait()
said = call("replay", killed, "--tokens")
check("ends early" in said and len(said.splitlines()) > 100, f"killed: {said[:200]}")

# ---- turns, drafts, other shapes ----------------------------------------------------------------------------------------
r = record("turns.grec", "chat", demo, "-n", "24", "--temp", "0", text="Tell me a story\nTell me more\n")
check(sorted(r.turns) == [0, 1] and r.turns[1]["of"] == 0 and r.turns[1]["from"] > 20, f"a second turn: {r.turns}")
check([t["position"] for t in r.turn(1)] == list(range(r.turns[1]["prompt"] + r.ends[1]["generated"])), "the second turn's positions")
check(len(r.turns[1]["request"]["messages"]) == 3, "the second request has the answer")
r = record("draft.grec", "run", demo, "-p", "Tell me a story", "--temp", "0", "-n", "60", "--draft", "models/demo-gptoss-draft.gguf", "--date", "2026-11-29")
check([t["id"] for t in r.turn(0)] == ids, "drafting, the same tokens")
right = sum(t["kind"] == 2 for t in r.tokens)          # how many are drafted depends on the machine's pace
check(right == sum(s[6] for s in r.steps) <= sum(s[5] for s in r.steps), f"drafts that were right: {right}")
check(all(t["row_step"] != NONE for t in r.turn(0)[:-1]), "drafting, every row is there")
r = record("llama.grec", "run", "models/demo-llama-Q4_K_M.gguf", "--raw", "-p", "Once upon a time", "-n", "20")
check(len(r.tokens) > 20 and "expert" not in r.tokens[0] and r.tokens[3]["look"][0] != NONE, "a dense model")
shape = folder / "shape.gguf"
call("synth", "layers=24,embd=128,heads=4,kv_heads=2,experts=32,used=4,ff=64,vocab=2048,ctx=4096", shape)
r = record("shape.grec", "run", shape, "--raw", "-p", "a b c d e f g", "--ignore-stop", "-n", "300", "--seed", "1")
each = r.bytes / len(r.tokens)
check(r.head["model"]["n_layer"] == 24 and len(r.tokens[0]["expert"][0]) == 4 and each <= 2048, f"{each:.0f} bytes a token of the 20b shape")
print(f"a token of 24 layers, 4 of 32 experts: {each:.0f} bytes")
call("run", demo, "-p", "a", "-n", "1", "--record", folder / "none" / "x", status=1)
call("run", demo, "-p", "a", "-n", "1", "--record", folder / "x", "--watch-layer", 6, status=2)
if os.path.exists("/dev/full"): check("No space" in call("run", demo, "-p", "a", "-n", "3", "--record", "/dev/full", status=1), "a full disk is said")
call("probe", "lens", demo, "--text", "Once upon a time there was a")
print(f"record: {passed} passed, {failed} failed")
sys.exit(failed > 0)
