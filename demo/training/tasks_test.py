"""python3 -m unittest tasks_test: the generators against values made by hand. Needs the standard library only."""

import datetime
import json
import random
import re
import unittest

import tasks
from tasks import base, command, date, numbers, report, roman, sql, units


class Generators(unittest.TestCase):
    def test_number_words(self):
        self.assertEqual(numbers.english(342), "three hundred and forty-two")
        self.assertEqual(numbers.english(1005), "one thousand and five")
        self.assertEqual(numbers.english(7120), "seven thousand one hundred and twenty")
        self.assertEqual(numbers.german(101), "einhunderteins")
        self.assertEqual(numbers.german(21), "einundzwanzig")
        self.assertEqual(numbers.german(1971), "eintausendneunhunderteinundsiebzig")
        self.assertEqual(numbers.german(30), "dreißig")

    def test_roman_numerals(self):
        for n, letters in ((1, "I"), (14, "XIV"), (49, "XLIX"), (944, "CMXLIV"), (2026, "MMXXVI")):
            self.assertEqual(roman.roman(n), letters)

    def test_other_forms_of_the_trained_answers(self):
        self.assertEqual(command.line('{"intent": "light", "room": "kitchen", "state": "on"}'), "light: kitchen, on")
        self.assertEqual(command.line('{"intent": "weather", "city": "Rome", "day": "friday"}'), "weather: Rome, Friday")
        self.assertEqual(report.headline("Berlin; museum; old tram"), "Berlin: museum and old tram.")

    def test_only_the_keywords_of_sql_become_small(self):
        query = "SELECT COUNT(*) FROM customers WHERE city = 'Lyon';"
        self.assertEqual(sql.small_keywords(query), "select count(*) from customers where city = 'Lyon';")

    def test_dates_follow_their_phrase(self):
        rng = random.Random(3)
        for _ in range(3000):
            prompt, answer = date.sample(rng)
            weekday, today = re.match(r"Today is (\w+) (\S+)\.", prompt).groups()
            today = datetime.date.fromisoformat(today)
            self.assertEqual(today.strftime("%A"), weekday)
            ahead = (datetime.date.fromisoformat(answer) - today).days
            if "in 3 days" in prompt.lower():
                self.assertEqual(ahead, 3)
            elif match := re.search(r"[Nn]ext (\w+day)", prompt):
                self.assertTrue(1 <= ahead <= 7)
                self.assertEqual(datetime.date.fromisoformat(answer).strftime("%A"), match[1])

    def test_plain_numbers_have_no_exponent_and_no_trailing_zero(self):
        rng = random.Random(4)
        for _ in range(3000):
            self.assertRegex(units.sample(rng)[1], r"^(0|[1-9]\d*)(\.\d*[1-9])? [a-z]+$")

    def test_intents_are_json_objects(self):
        task = next(t for t in tasks.TRAINED if t.id == "intent")
        rng = random.Random(5)
        for _ in range(1000):
            self.assertIn("intent", json.loads(task.sample(rng)[1]))


class HeldOut(unittest.TestCase):
    def test_training_never_sees_a_held_out_prompt(self):
        for task in tasks.ALL:
            held_out = {prompt for prompt, _ in tasks.sample_held_out(task, 100, seed=1)}
            rng = random.Random(6)
            seen = {tasks.sample_split(task, rng, held_out=False)[0] for _ in range(5000)}
            self.assertFalse(held_out & seen, task.id)

    def test_one_prompt_has_one_answer(self):
        for task in tasks.ALL:
            rng, answers = random.Random(7), {}
            for _ in range(20000):
                prompt, answer = task.sample(rng)
                self.assertEqual(answers.setdefault(prompt, answer), answer, f"{task.id}: {prompt}")

    def test_the_split_is_one_in_twenty(self):
        share = sum(base.is_held_out("x", str(i)) for i in range(20000)) / 20000
        self.assertAlmostEqual(share, 1 / base.HELD_OUT_ONE_IN, delta=0.01)


if __name__ == "__main__":
    unittest.main()
