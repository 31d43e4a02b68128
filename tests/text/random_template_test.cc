// Random templates over every filter, test, operator and kind of loop, made to grow what they hold: none may
// take more time or memory than its fuel pays for. GUILDHALL_RANDOM_TEMPLATES=100000 runs that many, from
// GUILDHALL_RANDOM_SEED on.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "text/chat_template.h"

namespace guildhall {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  std::string Template() {
    std::string text = "{% set ns = namespace(a=[1], b='ab', c={'k': 1}, d=2) %}";
    text += "{% macro m(p, q=[]) %}" + Statement(1) + "{{ p }}{% endmacro %}";
    for (size_t i = 0, count = 1 + Below(4); i < count; ++i) text += Statement(0);
    return text;
  }

 private:
  using Choices = std::vector<std::string>;

  size_t Below(size_t end) { return random_() % end; }
  std::string Of(const Choices& choices) { return choices[Below(choices.size())]; }
  std::string Number() { return Of({"0", "1", "2", "7", "64", "1000", "-1", "99999", "1000000000", "2.5"}); }

  // Mostly of the kind that is asked for; sometimes of another, which is an error or is not.
  std::string List(int depth) {
    if (Below(40) == 0) return Any(depth);
    if (depth > 4) return Of({"ns.a", "ns.a", "messages", "big", "words", "[1]", "[]", "[[1], 'x']"});
    const int in = depth + 1;
    switch (Below(12)) {
      case 0:
        return "ns.a";
      case 1:
      case 2:
        return "(" + List(in) + " + " + List(in) + ")";
      case 3:
        return "(" + List(in) + " * " + Of({"2", "3", "100", Number()}) + ")";
      case 4:
        return "[" + Any(in) + ", " + List(in) + "]";
      case 5:
        return List(in) + "[" + Of({":", "1:", "::-1", "::2", ":" + Number(), "-3:"}) + "]";
      case 6:
        return "(" + List(in) + "|" +
               Of({"sort", "unique", "reverse", "list", "map(attribute='k')", "chain(" + List(in) + ")",
                   "zip(" + List(in) + ")", "batch(" + Number() + ", 'x')", "slice(3)", "groupby('k')",
                   "sort(attribute='k')", "unique(attribute='k')", "sum(start=[])"}) +
               "|list)";
      case 7:
        return "(" + List(in) + "|map(" +
               Of({"'string'", "'length'", "'list'", "'join', " + Text(in), "'replace', 'a', " + Text(in),
                   "'chain', " + List(in), "'tojson'", "'sort'", "'upper'", "'default', " + Any(in),
                   "'first'"}) +
               ")|list)";
      case 8:
        return "(" + List(in) + "|" + Of({"select", "reject"}) + "(" +
               Of({"'in', " + List(in), "'eq', " + Any(in), "'string'", "'defined'", "'ne', " + List(in),
                   "'sequence'"}) +
               ")|list)";
      case 9:
        return Text(in) + "." +
               Of({"split()", "split('a')", "splitlines()", "rsplit('b', 3)", "partition('a')|list"});
      case 10:
        return "(" + Map(in) + Of({".items()", ".keys()", ".values()", "|dictsort", "|list"}) + "|list)";
      default:
        return Of({"range(" + Of({"7", "2000", "50000"}) + ")", "(" + Text(in) + "|list)",
                   "(" + Any(in) + ", " + List(in) + ")|list"});
    }
  }

  std::string Text(int depth) {
    if (Below(40) == 0) return Any(depth);
    if (depth > 4) return Of({"ns.b", "'ab cd'", "'a'", "''", "'{0}{0}'", "'%s%s'"});
    const int in = depth + 1;
    switch (Below(9)) {
      case 0:
        return "ns.b";
      case 1:
        return "(" + Text(in) + Of({" + ", " ~ "}) + Text(in) + ")";
      case 2:
        return "(" + Text(in) + " ~ " + Any(in) + ")";
      case 3:
        return "(" + Text(in) + " * " + Of({"2", "10", "1000", Number()}) + ")";
      case 4:
        return "(" + Text(in) + "|" +
               Of({"upper", "lower", "title", "capitalize", "trim", "trim(" + Text(in) + ")", "escape",
                   "indent(" + Number() + ")", "center(" + Number() + ")", "reverse", "safe",
                   "replace('a', " + Text(in) + ")", "replace('', 'b')",
                   "format(" + Any(in) + ", " + Any(in) + ")", "tojson", "pprint"}) +
               ")";
      case 5:
        return Text(in) + "." +
               Of({"upper()", "strip(" + Text(in) + ")", "lstrip()", "title()", "swapcase()", "casefold()",
                   "replace('a', " + Text(in) + ")", "format(" + Any(in) + ")",
                   "join(" + List(in) + "|map('string'))", "zfill(" + Number() + ")",
                   "ljust(" + Number() + ")", "center(99, 'x')", "removeprefix('a')"});
      case 6:
        return "(" + List(in) + "|join(" + Text(in) + "))";
      case 7:
        return "(" + Any(in) + "|" + Of({"string", "tojson", "pprint", "tojson(indent=4)"}) + ")";
      default:
        return Of({Text(in) + "[" + Of({"1:", "::-1", ":3", "0"}) + "]", "m(" + Any(in) + ")"});
    }
  }

  std::string Value(int depth) {
    const int in = depth + 1;
    if (depth > 4) return Of({"ns.d", Number()});
    return Of({"ns.d", Number(), "(" + List(in) + "|length)", "(" + Text(in) + "|wordcount)",
               "(ns.d " + Of({"+", "-", "*", "//", "%", "**"}) + " " + Number() + ")",
               "(" + List(in) + "|" + Of({"first", "last", "min", "max", "sum", "count"}) + ")",
               "(" + Text(in) + "|int)",
               Text(in) + "." + Of({"count('a')", "find('b')", "rfind(" + Text(in) + ")"}),
               List(in) + ".count(" + Any(in) + ")", List(in) + "[" + Of({"0", "-1"}) + "]",
               "(" + Number() + "|round(2)|abs|float)"});
  }

  std::string Map(int depth) {
    const int in = depth + 1;
    if (depth > 4) return Of({"ns.c", "{'k': 1}"});
    return Of({"ns.c", "{" + Any(in) + ": " + Any(in) + "}", "{'k': " + Any(in) + ", 'l': " + Any(in) + "}",
               "dict(ns.c, k=" + Any(in) + ")", "(" + Map(in) + "|chain(" + Map(in) + "))", "{ns.a: ns.c}"});
  }

  std::string Truth(int depth) {
    const int in = depth + 1;
    if (depth > 4) return Of({"x", "true", "ns.a"});
    return "(" +
           Of({Any(in) + Of({" == ", " != "}) + Any(in), List(in) + Of({" < ", " >= ", " == "}) + List(in),
               Text(in) + Of({" < ", " <= ", " in "}) + Text(in),
               Any(in) + Of({" in ", " not in "}) + List(in), Any(in) + " in " + Map(in),
               "1 < " + Value(in) + " < 9", "not " + Any(in), List(in) + " == " + List(in) + " == ns.a",
               Truth(in) + Of({" and ", " or "}) + Truth(in),
               Any(in) + " is " +
                   Of({"defined", "none", "string", "number", "sequence", "mapping", "iterable", "boolean",
                       "true", "undefined"}),
               Text(in) + " is " +
                   Of({"lower", "upper", "startingwith('a')", "endingwith(" + Text(in) + ")"}),
               "ns.d is " + Of({"odd", "even", "integer", "float", "divisibleby(3)"}),
               Any(in) + " is " + Of({"eq", "ne", "sameas", "equalto"}) + "(" + Any(in) + ")",
               List(in) + " is lt(" + List(in) + ")",
               Text(in) + "." +
                   Of({"startswith(" + Text(in) + ")", "isdigit()", "endswith(('a', " + Text(in) + "))"})}) +
           ")";
  }

  std::string Any(int depth) {
    switch (Below(9)) {
      case 0:
      case 1:
      case 2:
        return List(depth + 1);
      case 3:
      case 4:
        return Text(depth + 1);
      case 5:
        return Map(depth + 1);
      case 6:
        return Value(depth + 1);
      case 7:
        return Truth(depth + 1);
      default:
        return Of({"none", "x", "undefined_name", "(ns.a if x else ns.b)", "namespace(z=ns.a)",
                   "(ns.c|default(1))", "ns"});
    }
  }

  std::string Set() {
    switch (Below(6)) {
      case 0:
        return "{% set ns.b = " + Text(1) + " %}";
      case 1:
        return "{% set ns.c = " + Map(1) + " %}";
      case 2:
        return "{% set ns.d = " + Value(2) + " %}";
      default:
        return "{% set ns.a = " + List(1) + " %}";
    }
  }

  std::string Statement(int depth) {
    if (depth > 2) return Of({"{{ " + Any(2) + " }}", Set()});
    switch (Below(9)) {
      case 0:
        return "{{ " + Any(0) + " }}";
      case 1:
        return Set();
      case 2:
      case 3:
        return "{% for x in range(" + Of({"3", "12", "40", "200", "50000"}) + ") %}" + Set() +
               (Below(2) == 0 ? Statement(depth + 1) : Set()) + "{% endfor %}";
      case 4:
        return "{% for x in " + List(1) + Of({"", " if x", " if x is string"}) + " %}" +
               Statement(depth + 1) +
               Of({"", "{{ loop.changed(x, ns.a) }}", "{{ loop.index }}",
                   "{% if loop.index > 9 %}{% break %}{% endif %}"}) +
               "{% endfor %}";
      case 5:
        return "{% if " + Truth(1) + " %}" + Statement(depth + 1) + "{% else %}" + Statement(depth + 1) +
               "{% endif %}";
      case 6:
        return "{% set b %}" + Statement(depth + 1) + "{{ ns.b }}{% endset %}{% set ns.b = b ~ b %}";
      case 7:
        return "{% filter " + Of({"upper", "trim", "indent(2)", "replace('a', 'bc')"}) + " %}" +
               Statement(depth + 1) + "{% endfilter %}";
      default:
        return "{% for x in " + List(1) + " recursive %}" + Statement(depth + 1) +
               "{% if ns.d < 9 and x is sequence %}{{ loop(" + List(2) + ") }}{% endif %}{% endfor %}";
    }
  }

  std::mt19937_64 random_;
};

double CpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

size_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

size_t FromEnvironment(const char* name, size_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Fuel alone: it pays for 3 ms and 2 MB. What is measured beside it would hide a hole.
constexpr ChatTemplateLimits kLimits = {
    .fuel = 30'000, .max_memory_bytes = size_t{16} << 30, .max_cpu_ms = 100'000};
constexpr double kSeconds = 1.0;
constexpr size_t kMemory = size_t{200} << 20;

TEST_CASE("no random template takes more than its fuel pays for") {
  const size_t count = FromEnvironment("GUILDHALL_RANDOM_TEMPLATES", 2000);
  const size_t seed = FromEnvironment("GUILDHALL_RANDOM_SEED", 1);
  std::string variables = R"({"x": 3, "words": ["ab", "c", "ab"], "big": [)";
  for (int i = 0; i < 1000; ++i)
    variables += std::string(i > 0 ? "," : "") + R"({"k": ")" + std::to_string(i % 7) + "\"}";
  variables += "]}";
  size_t rendered = 0, refused = 0, exhausted = 0;
  double longest = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string source = Generator(seed + i).Template();
    CAPTURE(seed + i, source);
    const size_t memory = PeakBytes();
    const double begin = CpuSeconds();
    const auto compiled = ChatTemplate::Compile(source, kLimits);
    absl::Status status = compiled.status();
    if (compiled.ok()) {
      status = (*compiled)
                   ->Render({.messages_json = R"([{"role": "user", "content": "x"}])",
                             .variables_json = variables})
                   .status();
    }
    const double seconds = CpuSeconds() - begin;
    longest = std::max(longest, seconds);
    CHECK(seconds < kSeconds);
    CHECK(PeakBytes() - memory < kMemory);
    CHECK(status.code() != absl::StatusCode::kInternal);
    (status.ok() ? rendered : absl::IsResourceExhausted(status) ? exhausted : refused) += 1;
  }
  CAPTURE(rendered, refused, exhausted, longest);
  CHECK(rendered > count / 50);
  CHECK(exhausted > count / 100);
  if (std::getenv("GUILDHALL_RANDOM_TEMPLATES") != nullptr) {
    WARN(count << " templates: " << rendered << " rendered, " << refused << " refused, " << exhausted
               << " out of fuel, the longest " << longest << " s, peak " << (PeakBytes() >> 20) << " MiB");
  }
}

}  // namespace
}  // namespace guildhall
