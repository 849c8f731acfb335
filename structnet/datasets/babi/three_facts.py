"""bAbI task 3, "three supporting facts", drawn anew: for a training file that is missing."""

from __future__ import annotations

import random

PEOPLE = ("Mary", "John", "Sandra", "Daniel")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
OBJECTS = ("apple", "football", "milk")
GO = ("went back to", "moved to", "went to", "travelled to", "journeyed to")
TAKE, DROP = ("picked up", "got", "took", "grabbed"), ("left", "dropped", "put down", "discarded")


class _World:
    """Who is where and holds what; for each object, the lines that tell its path through places."""

    def __init__(self, draw: random.Random):
        self.draw, self.line = draw, 0
        self.place: dict[str, tuple[str, int]] = {}  # person -> place, and the line that says so
        self.holder: dict[str, tuple[str, int]] = {}  # object -> person, and line of the taking
        self.lies: dict[str, tuple[str, int]] = {}  # object -> place, and line of the dropping
        self.path: dict[str, list[tuple[str, int]]] = {thing: [] for thing in OBJECTS}  # places, and lines of arrival

    def step(self) -> str:
        self.line += 1
        person = self.draw.choice(PEOPLE)
        held = [thing for thing, (who, _) in self.holder.items() if who == person]
        near = [thing for thing in OBJECTS if thing not in self.holder and self._within_reach(thing, person)]
        if person not in self.place or not held + near or self.draw.random() < 0.6:
            return self._go(person, held)
        thing = self.draw.choice(held + near)
        there = " there" if self.draw.random() < 0.25 else ""
        if thing in held:
            del self.holder[thing]
            self.lies[thing] = (self.place[person][0], self.line)
            return f"{self.line} {person} {self.draw.choice(DROP)} the {thing}{there}."
        self.holder[thing] = (person, self.line)
        if not self.path[thing]:
            self.path[thing].append(self.place[person])
        return f"{self.line} {person} {self.draw.choice(TAKE)} the {thing}{there}."

    def _within_reach(self, thing: str, person: str) -> bool:
        return thing not in self.lies or self.lies[thing][0] == self.place.get(person, ("", 0))[0]

    def _go(self, person: str, held: list[str]) -> str:
        place = self.draw.choice([p for p in PLACES if p != self.place.get(person, ("", 0))[0]])
        self.place[person] = (place, self.line)
        for thing in held:
            self.path[thing].append((place, self.line))
        return f"{self.line} {person} {self.draw.choice(GO)} the {place}."

    def ask(self) -> str | None:
        """Where an object that now lies somewhere was before it came there."""
        told = [t for t in OBJECTS if t in self.lies and t not in self.holder and len(self.path[t]) > 1]
        if not told:
            return None
        thing = self.draw.choice(told)
        (before, first), (now, second) = self.path[thing][-2:]
        self.line += 1
        facts = f"{self.lies[thing][1]} {second} {first}"
        return f"{self.line} Where was the {thing} before the {now}? \t{before}\t{facts}"


def three_facts(stories: int, seed: int = 0, questions: int = 5) -> str:
    """A training file of task 3: stories of four people, six places and three things, with five questions each of the
    form "Where was the apple before the kitchen?", in the words and about the proportions of the original (statements
    between questions, moves and handlings). Every answer follows from the lines; the generator of the original is not
    part of this library, so its exact distribution is not either."""
    draw, lines = random.Random(seed), []
    for _ in range(stories):
        world, asked = _World(draw), 0
        wait = draw.randint(8, 40)
        while asked < questions:
            lines.append(world.step())
            wait -= 1
            question = world.ask() if wait <= 0 else None
            if question is not None:
                lines.append(question)
                asked, wait = asked + 1, draw.randint(1, 20)
    return "\n".join(lines) + "\n"
