"""test_gossamer.py - the Python package as an application uses it, on the demo model. Run by suites/57-python.sh against the
installed wheel: GOSSAMER_MODEL names the model."""
import gc, json, os, threading, unittest
import gossamer
from gossamer import Engine, GossamerError, Params

MODEL = os.environ["GOSSAMER_MODEL"]
JUNE = {"messages": [{"role": "user", "content": "Which month comes after June?"}], "temperature": 0, "date": "2025-06-28"}
ANSWER = "July comes after June."
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Gets the current weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The name of the city"}}, "required": ["city"]}}}
PARIS = {**JUNE, "tools": [WEATHER], "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}

class Chat(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.engine = Engine(MODEL, backend="cpu", n_threads=1, max_kv=2048)
    @classmethod
    def tearDownClass(cls): cls.engine.close()

    def test_answer(self):
        a = self.engine.chat(JUNE)
        self.assertEqual((a["object"], a["model"]), ("chat.completion", "demo-gptoss"))
        choice = a["choices"][0]
        self.assertEqual(choice["message"]["content"], ANSWER)
        self.assertTrue(choice["message"]["reasoning_content"])
        self.assertEqual((choice["finish_reason"], choice["logprobs"]), ("stop", None))
        self.assertEqual(a["usage"]["prompt_tokens"], len(self.engine.render(JUNE)))
        self.assertEqual(a["usage"]["total_tokens"], a["usage"]["prompt_tokens"] + a["usage"]["completion_tokens"])

    def test_again_the_prompt_is_reused(self):
        self.engine.chat(JUNE)
        usage = self.engine.chat(JUNE)["usage"]
        self.assertGreater(usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"] // 2)

    def test_stream_is_the_answer(self):
        chunks = list(self.engine.chat_stream(JUNE))
        deltas = [c["choices"][0]["delta"] for c in chunks]
        self.assertEqual(deltas[0], {"role": "assistant", "content": ""})
        self.assertEqual("".join(d.get("content", "") for d in deltas), ANSWER)
        self.assertGreater(len(chunks), 5)
        self.assertEqual([c["choices"][0]["finish_reason"] for c in chunks], [None] * (len(chunks) - 1) + ["stop"])
        self.assertEqual({c["id"] for c in chunks}, {chunks[0]["id"]})
        self.assertIn("usage", chunks[-1])

    def test_a_call_and_its_result(self):
        a = self.engine.chat(PARIS)["choices"][0]
        self.assertEqual((a["finish_reason"], a["message"]["content"]), ("tool_calls", None))
        call, = a["message"]["tool_calls"]
        self.assertEqual((call["type"], call["function"]["name"]), ("function", "get_weather"))
        self.assertEqual(json.loads(call["function"]["arguments"]), {"city": "Paris"})
        result = {"role": "tool", "tool_call_id": call["id"], "content": '{"temperature": 21, "conditions": "sunny"}'}
        b = self.engine.chat({**PARIS, "messages": [*PARIS["messages"], a["message"], result]})["choices"][0]
        self.assertEqual(b["finish_reason"], "stop")
        self.assertRegex(b["message"]["content"], "21|sunny")

    def test_streamed_calls_are_one_call(self):
        calls = [d for c in self.engine.chat_stream(PARIS) for d in c["choices"][0]["delta"].get("tool_calls", [])]
        self.assertEqual([c["index"] for c in calls], [0] * len(calls))
        self.assertEqual([i for i, c in enumerate(calls) if "id" in c], [0])
        self.assertEqual(json.loads("".join(c["function"]["arguments"] for c in calls)), {"city": "Paris"})

    def test_tool_choice(self):
        self.assertNotIn("tool_calls", self.engine.chat({**PARIS, "tool_choice": "none", "max_tokens": 60})["choices"][0]["message"])
        a = self.engine.chat({**JUNE, "tools": [WEATHER], "tool_choice": "required", "max_tokens": 60})["choices"][0]
        self.assertEqual(a["message"]["tool_calls"][0]["function"]["name"], "get_weather")

    def test_schema(self):
        schema = {"type": "object", "properties": {"month": {"enum": ["May", "July"]}, "n": {"type": "integer"}},
                  "required": ["month", "n"], "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        got = json.loads(self.engine.chat({**JUNE, "response_format": form})["choices"][0]["message"]["content"])
        self.assertEqual(set(got), {"month", "n"})
        self.assertIn(got["month"], ("May", "July"))
        self.assertIsInstance(got["n"], int)

    def test_limits_stops_and_probabilities(self):
        a = self.engine.chat({**JUNE, "max_tokens": 3})
        self.assertEqual((a["choices"][0]["finish_reason"], a["usage"]["completion_tokens"]), ("length", 3))
        a = self.engine.chat({**JUNE, "stop": " after"})["choices"][0]
        self.assertEqual((a["message"]["content"], a["finish_reason"]), ("July comes", "stop"))
        a = self.engine.chat({**JUNE, "logprobs": True, "top_logprobs": 3})["choices"][0]
        self.assertEqual("".join(p["token"] for p in a["logprobs"]["content"]), ANSWER)
        for p in a["logprobs"]["content"]:
            self.assertEqual(len(p["top_logprobs"]), 3)
            self.assertEqual(p["top_logprobs"][0]["token"], p["token"])
            self.assertLessEqual(p["logprob"], 0)
            self.assertEqual(bytes(p["bytes"]).decode(), p["token"])

    def test_a_bias_forbids(self):
        july, = self.engine.tokenize("July")
        self.assertNotIn("July", self.engine.chat({**JUNE, "logit_bias": {str(july): -100}})["choices"][0]["message"]["content"])

    def test_several_answers_are_refused(self):
        with self.assertRaisesRegex(ValueError, "n:"): self.engine.chat({**JUNE, "n": 2})

    def test_a_bad_request_says_where(self):
        with self.assertRaises(GossamerError) as e: self.engine.chat({"messages": [{"role": "nobody", "content": "x"}]})
        self.assertIn("role", str(e.exception))

class Sessions(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.engine = Engine(MODEL, backend="cpu", n_threads=1, max_kv=2048)
    @classmethod
    def tearDownClass(cls): cls.engine.close()

    def test_text_and_tokens(self):
        for text in ("Hello, world", "Grüße, 東京 🙂", ""):
            self.assertEqual(self.engine.detokenize(self.engine.tokenize(text)).decode(), text)

    def test_events_of_a_text(self):
        events = list(self.engine.generate("The capital of France is", Params(temperature=0, max_tokens=4, n_probs=2)))
        self.assertEqual([events[0].kind, events[-1].kind], ["prefill", "done"])
        tokens = [e for e in events if e.kind == "token"]
        self.assertEqual(tokens[0].text, " Paris")
        self.assertEqual(tokens[0].top[0][0], tokens[0].token)
        self.assertEqual(events[-1].n_generated, len(tokens))

    def test_the_best_logit_is_the_token(self):
        ids = self.engine.tokenize("The capital of France is", special=True, bos=True)
        logits = self.engine.logits(ids)
        self.assertEqual(len(logits), self.engine.info.n_vocab)
        self.assertEqual(self.engine.detokenize([max(range(len(logits)), key=logits.__getitem__)]), b" Paris")

    def test_sessions_run_at_once_and_fork(self):
        with self.engine.session() as s:
            first = "".join(e.text for e in s.generate(JUNE, Params(temperature=0)) if e.channel == "final")
            self.assertEqual(first, ANSWER)
            held = s.tokens
            with s.fork(20) as branch:
                self.assertEqual(branch.tokens, held[:20])
                events = list(branch.generate(held[:30], Params(temperature=0, max_tokens=1)))
                self.assertGreaterEqual(events[-1].n_reused if events[-1].n_reused else events[0].n_reused, 20)

    def test_closing_a_generator_cancels(self):
        with self.engine.session() as s:
            events = s.generate("Once upon a time", Params(ignore_stop=True))
            for _ in range(3): next(events)
            events.close()
            self.assertEqual(self.engine.stats.n_active, 0)
            self.assertEqual([e.kind for e in s.generate("Hello", Params(max_tokens=1))][-1], "done")

    def test_threads_share_an_engine(self):
        said, alone = {}, self.engine.stats.n_steps
        def ask(i): said[i] = self.engine.chat(JUNE)["choices"][0]["message"]["content"]
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
        self.assertEqual(said, {i: ANSWER for i in range(6)})
        self.assertGreater(self.engine.stats.n_steps, alone)

    def test_nothing_is_left_open(self):
        for _ in range(3): self.engine.chat(JUNE)
        self.engine.generate("unread", Params(max_tokens=1))
        gc.collect()
        self.assertEqual(self.engine.stats.n_sessions, 0)

class Life(unittest.TestCase):
    def test_telemetry_and_what_it_raises(self):
        lines = []
        with Engine(MODEL, backend="cpu", telemetry=lines.append, watch=("load", "tokens")) as engine:
            stages = [l["stage"] for l in lines if l["type"] == "load_stage"]
            self.assertIn("gguf_parse", stages)
            self.assertEqual(stages[-1], "load_complete")
            engine.chat(JUNE)
            self.assertTrue(any(l["type"] == "inference_event" and l["event"]["type"] == "token_generated" for l in lines))
            lines.clear()
            engine.watch()
            engine.chat(JUNE)
            self.assertEqual(lines, [])
            with self.assertRaises(ValueError): engine.watch("everything")
        within = []
        def call(_):
            try: within.append(engine.stats)
            except RuntimeError as e: within.append(str(e))
        with Engine(MODEL, backend="cpu", telemetry=call, watch=("stages",)) as engine:
            engine.chat(JUNE)
        self.assertTrue(within)
        self.assertEqual(set(within), {"a telemetry callback may not call the engine"})
        def refuse(_): raise KeyError("mine")
        with self.assertRaisesRegex(KeyError, "mine"): Engine(MODEL, backend="cpu", telemetry=refuse)

    def test_what_cannot_be_opened(self):
        with self.assertRaises(GossamerError) as e: Engine("/nowhere.gguf")
        self.assertEqual(e.exception.name, "ENOENT")
        with self.assertRaises(GossamerError) as e: Engine(__file__)
        self.assertEqual(e.exception.name, "EFORMAT")
        with self.assertRaisesRegex(TypeError, "n_threads"): Engine(MODEL, threads=2)

    def test_closed_means_closed(self):
        engine = Engine(MODEL, backend="cpu")
        session = engine.session()
        engine.close()
        engine.close()
        for call in (engine.session, lambda: engine.info, lambda: engine.chat(JUNE), lambda: session.tokens, session.fork):
            with self.assertRaisesRegex(ValueError, "closed"): call()
        session.close()

    def test_the_library_is_the_wheels(self):
        beside = os.path.dirname(gossamer.__file__)
        self.assertTrue(gossamer.engine.library().dll._name.startswith(beside))
        self.assertIn("site-packages", beside)

if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=0).result
    bad = len(result.failures) + len(result.errors)
    print(f"python: {result.testsRun - bad} passed, {bad} failed")
    raise SystemExit(bad > 0)
