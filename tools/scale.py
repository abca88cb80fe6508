#!/usr/bin/env python3
"""scale.py - predicts what a crowd gets from replicas: turns and tokens a second, and how long it waits.

  scale.py --record build/test/crowd.json               checks itself: what three replicas gave, from what one server cost
  scale.py --record FILE --replicas 8 --clients 400     the same costs and lengths with other numbers
  scale.py --step 1.6e-3 --row 5e-4 --prompt-row 9e-5 --prompt 2000 --reused 0.8 --generated 300 --clients 300 --think 50

A replica makes one step after another. A step has a row for each session that decodes, and up to --chunk rows of
prompts; it takes --step seconds, and --row or --prompt-row more for each. --sessions answer at once, the others wait in order. A
conversation of --turns turns stays on one replica, as behind examples/scale. Clients ask again at once (or after --think
seconds on average); with --rate, conversations begin at random moments instead. --cores: processor seconds a second that all
replicas share; without it each has a device of its own. Lengths are those of a record, drawn at random, or fixed. A turn
computes the new part of its prompt if its replica still has the conversation: if fewer than --kept turns came between
(an engine keeps 48 sequences, two a turn); otherwise what the record's single server, which had forgotten it, computed."""
import argparse
import heapq
import json
import random
import statistics
import sys
from collections import deque


FEW = 200  # turns of a record; with fewer, its beginning, when all ask at once, is most of it


class Replica:
    def __init__(self):
        self.queue, self.active, self.stepping, self.served = deque(), [], False, 0


class Turn:
    def __init__(self, client, place, number, now):
        self.client, self.place, self.number, self.arrived = client, place, number, now
        self.prompt_left = self.decode_left = self.generated = self.takes = self.served = 0
        self.began = self.ended = 0.0


class Crowd:
    """The simulation: events are (time, order, what, argument)."""

    def __init__(self, args, lengths):
        self.args, self.lengths, self.random = args, lengths, random.Random(args.seed)
        self.replicas = [Replica() for _ in range(args.replicas)]
        self.events, self.order, self.now, self.done = [], 0, 0.0, []

    def at(self, time, what, argument):
        self.order += 1
        heapq.heappush(self.events, (time, self.order, what, argument))

    def pause(self):
        return self.random.expovariate(1 / self.args.think) if self.args.think else 0.0

    def load(self, replica):
        return len(replica.queue) + len(replica.active)

    def place(self):
        """A replica at random, but none with more than twice its share."""
        most = 2 * (1 + sum(map(self.load, self.replicas))) / len(self.replicas)
        return self.random.choice([r for r in self.replicas if self.load(r) < most] or self.replicas)

    def ask(self, client, place, before):
        turn = Turn(client, place, before.number + 1 if before else 0, self.now)
        computed, turn.generated = self.random.choice(self.lengths[turn.number % len(self.lengths)])
        if before and place.served - before.served < self.args.kept:
            computed = min(computed, self.random.choice(self.lengths[0])[0])
        turn.prompt_left, turn.decode_left = max(1, computed), turn.generated
        place.served += 1
        turn.served = place.served
        place.queue.append(turn)
        self.go_on(place)

    def begin(self, client):
        if self.args.rate:
            self.at(self.now + self.random.expovariate(self.args.rate), self.begin, None)
        self.ask(client, self.place(), None)

    def go_on(self, replica):
        """Begins the next step, if there is something to do."""
        if replica.stepping:
            return
        admitted = 0
        while replica.queue and len(replica.active) < self.args.sessions:
            turn = replica.queue.popleft()
            turn.began = self.now
            replica.active.append(turn)
            admitted += 1
        if not replica.active:
            return
        room, work = self.args.chunk, self.args.step + self.args.request * admitted
        for turn in replica.active:
            turn.takes = min(turn.prompt_left, room)
            room -= turn.takes
            work += self.args.prompt_row * turn.takes if turn.prompt_left else self.args.row
        replica.stepping = True
        busy = sum(r.stepping for r in self.replicas)
        slow = max(1.0, busy / self.args.cores) if self.args.cores else 1.0
        self.at(self.now + slow * work, self.end_step, replica)

    def end_step(self, replica):
        replica.stepping = False
        for turn in list(replica.active):
            if turn.prompt_left:
                turn.prompt_left -= turn.takes
                if turn.prompt_left:
                    continue
            else:
                turn.decode_left -= 1
            if turn.decode_left <= 0:
                replica.active.remove(turn)
                self.end_turn(turn)
        self.go_on(replica)

    def end_turn(self, turn):
        turn.ended = self.now
        self.done.append(turn)
        later = self.now + self.pause()
        if turn.number + 1 < self.args.turns:
            self.at(later, lambda t: self.ask(t.client, t.place, t), turn)
        elif not self.args.rate:
            self.at(later, self.begin, turn.client)

    def run(self):
        for client in range(1 if self.args.rate else self.args.clients):
            self.at(self.pause(), self.begin, client)
        while len(self.done) < self.args.count:
            self.now, _, what, argument = heapq.heappop(self.events)
            what(argument)
        return self.done


def figures(turns, seconds):
    waits = sorted(t.began - t.arrived for t in turns)
    return {"turns a second": len(turns) / seconds,
            "tokens a second": sum(t.generated for t in turns) / seconds,
            "seconds until a session": statistics.mean(waits),
            "of 100 turns 95 wait less than": waits[int(0.95 * len(waits))],
            "seconds of a turn": statistics.mean(t.ended - t.arrived for t in turns)}


def predict(args, lengths):
    """Means over several seeds."""
    found = []
    for args.seed in range(args.runs):
        crowd = Crowd(args, lengths)
        turns = crowd.run()
        found.append(figures(turns, crowd.now))
    return {name: statistics.mean(f[name] for f in found) for name in found[0]}


def fit(record):
    """step and row by least squares over the stages with few sessions, request from what the crowd took beyond that."""
    parts = [{k: b[k] - a[k] for k in b} for a, b in zip(record["costs"], record["costs"][1:])]
    few, crowd = parts[:-1], parts[-1]
    ss, sr, rr = (sum(p[a] * p[b] for p in few) for a, b in (("steps", "steps"), ("steps", "rows"), ("rows", "rows")))
    sp, rp = (sum(p[a] * p["processor"] for p in few) for a in ("steps", "rows"))
    det = ss * rr - sr * sr
    step, row = (sp * rr - rp * sr) / det, (rp * ss - sp * sr) / det
    beyond = crowd["processor"] - step * crowd["steps"] - row * crowd["rows"]
    return step, row, beyond / len(record["alone"]["turns"])


def check(args, record):
    """What three replicas gave while nothing disturbed them, and what was predicted for them. Throughput is judged. Times
    are only said: they are the machine's, too, whose speed changes while others use it."""
    three, turns = record["three"], record["three"]["turns"]
    measured = {"turns a second": len(turns) / three["seconds"],
                "tokens a second": sum(t["generated"] for t in turns) / three["seconds"],
                "seconds until a session": statistics.mean(t["first"] for t in turns if t["stream"]) / 1000,
                "seconds of a turn": statistics.mean(t["whole"] for t in turns) / 1000}
    args.replicas, args.count, args.turns = 3, len(turns), 3
    # What the machine gave: the steps and rows that were made, at what they cost the single server. (A second of
    # processor time is worth less while others use the same caches.)
    work = args.step * three["steps"] + args.row * three["rows"] + args.request * len(turns)
    args.cores = work / three["seconds"]
    found = predict(args, lengths_of(record))
    print(f"step {1e3 * args.step:.2f} ms, row {1e3 * args.row:.3f} ms, request {1e3 * args.request:.2f} ms; "
          f"{len(turns)} turns, {args.cores:.2f} processor seconds a second")
    bad = 0
    for name, value in measured.items():
        off = found[name] / value - 1
        judged = not name.startswith("seconds")
        bad += judged and abs(off) > 0.15
        print(f"{name}: predicted {found[name]:.2f}, measured {value:.2f} ({100 * off:+.1f} %)")
    if len(turns) < FEW:
        print(f"SKIP scale: the machine was busy: {len(turns)} turns are too few to judge by\nscale: 0 passed, 0 failed, 1 skipped")
        return 0
    print(f"scale: {2 - bad} passed, {bad} failed")
    return bad


def lengths_of(record):
    """For each turn of a conversation: (rows of the prompt that were computed, tokens generated)."""
    turns = record["alone"]["turns"]
    return [[(t["prompt"] - t["reused"], t["generated"]) for t in turns if t["turn"] == number]
            for number in range(1 + max(t["turn"] for t in turns))]


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--record", help="of tests/scale/crowd.mjs")
    for name, kind, value in (("step", float, None), ("row", float, None), ("request", float, None),
                              ("prompt-row", float, None),
                              ("prompt", int, 1000), ("reused", float, 0.0), ("generated", int, 300),
                              ("replicas", int, 0), ("sessions", int, 16), ("clients", int, 60), ("turns", int, 3),
                              ("rate", float, 0.0), ("think", float, 0.0), ("cores", float, 0.0), ("chunk", int, 64), ("kept", int, 24),
                              ("count", int, 2000), ("runs", int, 5)):
        p.add_argument("--" + name, type=kind, default=value)
    return p.parse_args()


def main():
    args = options()
    lengths = [[(int(args.prompt * (1 - args.reused)), args.generated)]]
    record = None
    if args.record:
        with open(args.record, encoding="utf-8") as file:
            record = json.load(file)
        lengths = lengths_of(record)
    costs = fit(record) if record else (1.6e-3, 5e-4, 0.0)
    for name, value in zip(("step", "row", "request"), costs):
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.prompt_row = args.row if args.prompt_row is None else args.prompt_row
    if record and not args.replicas:
        sys.exit(1 if check(args, record) else 0)
    args.replicas = args.replicas or 1
    for name, value in predict(args, lengths).items():
        print(f"{name}: {value:.3f}")


if __name__ == "__main__":
    main()
