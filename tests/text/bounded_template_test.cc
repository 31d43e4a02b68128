// What a template can make grow without writing it out: lists in lists, lazy joins, comparisons of what is
// long. And renderings that end when nobody waits for them.
#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "text/chat_template.h"

namespace guildhall {
namespace {

using absl::StatusCode;

constexpr char kMessages[] = R"([{"role": "user", "content": "x"}])";

absl::StatusOr<std::string> Render(const std::string& source, const ChatTemplateLimits& limits = {},
                                   const WorkLimit& work = {}) {
  auto compiled = ChatTemplate::Compile(source, limits);
  if (!compiled.ok()) return compiled.status();
  return (*compiled)->Render({.messages_json = kMessages, .work = work});
}

// `times` times in a row, each from the last.
std::string Doubled(const std::string& set, int times = 40) {
  return "{% set ns = namespace(l=[1], m=[1], s='ab') %}{% for i in range(" + std::to_string(times) + ") %}" +
         set + "{% endfor %}";
}

void CheckExhausted(const std::string& source) {
  CAPTURE(source);
  // Time and memory are not to be what ends it.
  const ChatTemplateLimits limits{
      .fuel = 1'000'000, .max_memory_bytes = size_t{8} << 30, .max_cpu_ms = 1'000'000};
  const absl::Time begin = absl::Now();
  const auto text = Render(source, limits);
  CHECK(text.status().code() == StatusCode::kResourceExhausted);
  CHECK(text.status().message().find("more work than") != std::string::npos);
  CHECK(absl::Now() - begin < absl::Seconds(20));
}

TEST_CASE("lists that double are paid for when they are made") {
  for (const char* use : {"{{ ns.l|length }}", "{{ ns.l[-1] }}", "x"}) {
    CheckExhausted(Doubled("{% set ns.l = ns.l + ns.l %}") + use);
    CheckExhausted(Doubled("{% set ns.l = ns.l * 2 %}") + use);
    CheckExhausted(Doubled("{% set ns.l = ns.l|chain(ns.l) %}") + use);
    CheckExhausted(Doubled("{% set ns.l = (ns.l + ns.l)[0:] %}") + use);
  }
  CheckExhausted(Doubled("{% set ns.l = [ns.l, ns.l]|sum(start=[]) %}"));
}

TEST_CASE("what a list holds many times counts as often when it is read") {
  const std::string nested = Doubled("{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}");
  for (const char* use : {"{{ ns.l == ns.m }}",
                          "{{ ns.l < ns.m }}",
                          "{{ ns.l in [ns.m] }}",
                          "{{ 1 < 2 and ns.l <= ns.m != 3 }}",
                          "{{ [ns.l, ns.m]|sort|length }}",
                          "{{ [ns.l, ns.m]|unique|list|length }}",
                          "{{ {ns.l: 1}|length }}",
                          "{{ {'a': 1}[ns.l] }}",
                          "{{ [ns.l]|select('eq', ns.m)|list|length }}",
                          "{{ [ns.m].index(ns.l) }}",
                          "{{ [ns.m].count(ns.l) }}",
                          "{{ ns.l }}",
                          "{% set x %}{{ ns.l }}{% endset %}",
                          "{{ (ns.l ~ 'a')|length }}",
                          "{{ ns.l|string|length }}",
                          "{{ ns.l|tojson|length }}",
                          "{{ ns.l|pprint|length }}",
                          "{{ '%s'|format(ns.l)|length }}",
                          "{{ '{}'.format(ns.l)|length }}",
                          "{{ [ns.l]|join|length }}",
                          "{{ ','.join([ns.l])|length }}",
                          "{{ raise_exception(ns.l) }}",
                          "{{ ns.l is eq(ns.m) }}",
                          "{{ [ns.l, ns.m]|min|length }}",
                          "{{ [{'k': ns.l}, {'k': ns.m}]|groupby('k')|length }}",
                          "{% for x in [ns.l, ns.m] %}{{ loop.changed(x) }}{% endfor %}",
                          "{% for x in [ns.l, ns.m] %}{{ loop.changed(1, x) }}{% endfor %}"}) {
    CheckExhausted(nested + use);
  }
}

TEST_CASE("long strings that are compared often are paid for") {
  const std::string longs =
      "{% set a = 'a' * 1000000 %}{% set b = ('a' * 999999) ~ 'a' %}{% set l = [a, b] * 20000 %}";
  CheckExhausted(longs + "{{ l|sort|length }}");
  CheckExhausted(longs + "{{ l|unique|list|length }}");
  CheckExhausted(longs + "{% for x in l %}{{ 'x' if x == a }}{% endfor %}");
  CheckExhausted(longs + "{{ l == l[1:] + [b] }}");
  CheckExhausted("{% set a = 'a' * 300000 %}{{ a.strip('b' * 300000 ~ 'a') }}");
  CheckExhausted("{% set a = 'a' * 300000 %}{{ a|trim('b' * 300000 ~ 'a') }}");
  CheckExhausted("{% set a = 'ab ' * 2000000 %}{{ a.split()|length }}");
}

TEST_CASE("a namespace cannot become a part of itself") {
  for (const char* source :
       {"{% set a = namespace() %}{% set b = namespace() %}{% set a.x = a %}{% set b.x = b %}{{ a == b }}",
        "{% set a = namespace() %}{% set a.x = [a] %}", "{% set a = namespace() %}{% set a.x = {'k': [a]} %}",
        "{% set a = namespace() %}{% set a.x = (1, a) %}"}) {
    CAPTURE(source);
    const auto text = Render(source);
    CHECK(text.status().code() == StatusCode::kInvalidArgument);
    CHECK(text.status().message().find("a namespace cannot hold a namespace") != std::string::npos);
  }
}

TEST_CASE("constants that the compiler would work on for long are refused") {
  for (const char* source : {"{{ [1] * 99999999 == [1] * 99999999 }}", "{{ 2 in [1] * 99999999 }}",
                             "{{ ([1] * 99999999) ~ 'a' }}", "{% if x %}{{ x[(5 * [1]) < [2]] }}{% endif %}",
                             "{% macro m(a=[1] * 9 + [2] == 3) %}{% endmacro %}"}) {
    CAPTURE(source);
    const auto compiled = ChatTemplate::Compile(source);
    CHECK(compiled.status().code() == StatusCode::kInvalidArgument);
    CHECK(compiled.status().message().find("repeats") != std::string::npos);
  }
  CHECK(
      Render("{{ [1, 2] * 2 }} {{ [1] + [2] == [1, 2] }} {% if messages == [1] * 3 %}{% endif %}").value() ==
      "[1, 2, 1, 2] True ");
}

TEST_CASE("guards change nothing of what a template says") {
  CHECK(Render("{{ ([1, 2] + [3])|map('string')|join('-') }}|{{ (1, 2) + (3,) }}|{{ [1, 2, 3][::-1] }}|{{ "
               "'abc'[1:] }}")
            .value() == "1-2-3|(1, 2, 3)|[3, 2, 1]|bc");
  CHECK(Render("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{{ loop.last }},{% endfor %}")
            .value() == "a1False,b2True,");
  CHECK(Render("{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is not number else x }}{% endfor %}")
            .value() == "123");
  CHECK(Render("{% macro m(a, b=[1] + [2]) %}{{ a }}{{ b|length }}{{ caller() }}{% endmacro %}"
               "{% call m('x') %}y{% endcall %}")
            .value() == "x2y");
  CHECK(Render("{{ 1 < 2 < 3 }}{{ 3 > 2 == 2 }}{{ 'a' in {'a': 1} }}{{ 2 not in [1] }}{{ {[1][0]: 'k'}[1] }}")
            .value() == "TrueTrueTrueTruek");
  CHECK(
      Render("{% for x in [1, 1, 2] if x is odd %}{{ loop.changed(x) }}{% else %}none{% endfor %}").value() ==
      "TrueFalse");
}

TEST_CASE("a rendering ends soon after its call") {
  const std::string busy =
      "{% for i in range(25000) %}{% for j in range(25000) %}{{ i if j == 1 }}{% endfor %}{% endfor %}";
  const ChatTemplateLimits limits{.fuel = 4'000'000'000};
  std::atomic<bool> gone = false;
  absl::Time left;
  std::thread client([&] {
    absl::SleepFor(absl::Milliseconds(50));
    left = absl::Now();
    gone = true;
  });
  const auto cancelled = Render(busy, limits, {.cancelled = [&] { return gone.load(); }});
  const absl::Time end = absl::Now();
  client.join();
  CHECK(cancelled.status().code() == StatusCode::kCancelled);
  CHECK(end - left < absl::Seconds(1));  // some milliseconds on a machine that is not loaded
  const auto late = Render(busy, limits, {.deadline = absl::Now() + absl::Milliseconds(20)});
  CHECK(late.status().code() == StatusCode::kDeadlineExceeded);
  const std::string macros = "{% macro m(n) %}{{ m(n - 1) ~ m(n - 1) if n > 0 }}{% endmacro %}{{ m(60) }}";
  const auto recursive = Render(macros, limits, {.deadline = absl::Now() + absl::Milliseconds(20)});
  CHECK(recursive.status().code() == StatusCode::kDeadlineExceeded);
}

TEST_CASE("memory and time are measured beside the fuel") {
  const std::string growing =
      "{% set ns = namespace(s=[]) %}{% for i in range(25000) %}{% set ns.s = [ns.s, 'a' * 10000] %}{% "
      "endfor %}";
  const auto large = Render(growing, {.fuel = 4'000'000'000, .max_memory_bytes = size_t{8} << 20});
  CHECK(large.status().message() == "chat template: more memory than the limit of 8388608 bytes");
  const auto slow = Render("{% for i in range(25000) %}{% for j in range(25000) %}{% endfor %}{% endfor %}",
                           {.fuel = 4'000'000'000, .max_cpu_ms = 20});
  CHECK(slow.status().message() == "chat template: more time than the limit of 20 ms of a CPU");
  CHECK(slow.status().code() == StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace guildhall
