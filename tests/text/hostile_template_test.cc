// Templates that try to take all time, memory or stack: each ends in an error, soon, and within bounds.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "text/chat_template.h"

namespace guildhall {
namespace {

using absl::StatusCode;

absl::StatusOr<std::string> Render(const std::string& source, const ChatTemplateLimits& limits = {}) {
  auto compiled = ChatTemplate::Compile(source, limits);
  if (!compiled.ok()) return compiled.status();
  return (*compiled)->Render({.messages_json = R"([{"role": "user", "content": "x"}])"});
}

std::string Repeat(const std::string& text, size_t count) {
  std::string result;
  result.reserve(text.size() * count);
  for (size_t i = 0; i < count; ++i) result += text;
  return result;
}

size_t PeakBytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

// Generous for a sanitizer on a busy machine; the work itself takes well under a second.
constexpr auto kSoon = std::chrono::seconds(60);
// Fuel pays for at most 256 MB; the rest is what allocators add.
constexpr size_t kMemory = size_t{700} << 20;

void CheckRefused(const std::string& source, StatusCode code) {
  CAPTURE(source.substr(0, 200));
  const size_t before = PeakBytes();
  const auto begin = std::chrono::steady_clock::now();
  const auto text = Render(source);
  CHECK(text.status().code() == code);
  CHECK_FALSE(text.status().message().empty());
  CHECK(std::chrono::steady_clock::now() - begin < kSoon);
  CHECK(PeakBytes() - before < kMemory);
}

const std::string kNest =
    "{% set ns = namespace(x=[], y=[]) %}{% for i in range(20000) %}{% set ns.x = [ns.x] %}"
    "{% set ns.y = {'a': ns.y} %}{% endfor %}";

TEST_CASE("loops end when the fuel is used up") {
  CheckRefused("{% for i in range(25000) %}{% for j in range(25000) %}x{% endfor %}{% endfor %}",
               StatusCode::kResourceExhausted);
  CheckRefused("{% for i in range(25000) %}{% for j in range(25000) %}{% endfor %}{% endfor %}",
               StatusCode::kResourceExhausted);
  CheckRefused("{{ range(1000000000) | list }}", StatusCode::kInvalidArgument);
  CheckRefused("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", StatusCode::kInvalidArgument);
  CheckRefused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", StatusCode::kInvalidArgument);
}

TEST_CASE("strings and lists are not made where the fuel could not pay for them") {
  const std::string sources[] = {
      "{{ 'a' * 1000000000 }}",
      "{% set a = 'a' %}{% set n = 1000000000 %}{{ (a * n) | length }}",
      "{% set ns = namespace(s='ab') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s='ab') %}{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "{{ range(99999) | join('a' * 100000) }}",
      "{{ ('a' * 10000) | replace('a', 'b' * 100000) | length }}",
      "{{ ('a' * 10000).replace('a', 'b' * 100000) | length }}",
      "{{ ('b' * 100000).join(['a'] * 100000) | length }}",
      "{{ '{:1000000000}'.format('a') | length }}",
      "{{ ('{0}' * 10000).format('a' * 100000) | length }}",
      "{{ '%1000000000d' | format(1) | length }}",
      "{{ 'a'.ljust(1000000000) }}",
      "{{ 'a'.rjust(1000000000) }}",
      "{{ 'a'.center(1000000000) }}",
      "{{ 'a' | center(1000000000) }}",
      "{{ '1'.zfill(1000000000) }}",
      "{{ 'a\nb' | indent(1000000000) }}",
      "{{ [1] | batch(1000000000, 'x') | list | length }}",
  };
  for (const std::string& source : sources) CheckRefused(source, StatusCode::kResourceExhausted);
  CheckRefused("{{ [1] * 1000000000 }}", StatusCode::kInvalidArgument);
  CheckRefused("{{ 10 ** 100000000 }}", StatusCode::kInvalidArgument);
  CheckRefused("{{ {'a': [1]} | tojson(indent=1000000000) }}", StatusCode::kInvalidArgument);
  CheckRefused("{{ strftime_now('%1000000000Y') }}", StatusCode::kInvalidArgument);
}

TEST_CASE("values nested by a template do not exhaust the stack") {
  CheckRefused(kNest + "{{ ns.x }}", StatusCode::kInvalidArgument);
  CheckRefused(kNest + "{{ ns.y }}", StatusCode::kInvalidArgument);
  CheckRefused(kNest + "{{ ns.x | tojson }}", StatusCode::kInvalidArgument);
  CheckRefused(kNest + "{{ ns.y | string }}", StatusCode::kInvalidArgument);
#ifndef __SANITIZE_ADDRESS__
  // The engine counts references, so a namespace within itself is never freed: some 500 bytes a rendering.
  CheckRefused("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", StatusCode::kInvalidArgument);
  CheckRefused("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns | tojson }}",
               StatusCode::kInvalidArgument);
#endif
  // Freed and compared by recursion, on a stack that is large enough.
  const auto freed = Render(kNest + "{{ ns.x == [ns.x] }}");
  REQUIRE(freed.ok());
  CHECK(*freed == "False");
  CheckRefused(
      "{% set ns = namespace(x=[]) %}{% for j in range(9) %}{% for i in range(99999) %}"
      "{% set ns.x = [ns.x] %}{% endfor %}{% endfor %}",
      StatusCode::kResourceExhausted);
}

TEST_CASE("sources nested deeply do not exhaust the stack") {
  constexpr size_t kDepth = 30'000;
  const std::string refused[] = {
      "{{ " + Repeat("(", kDepth) + "1" + Repeat(")", kDepth) + " }}",
      "{{ " + Repeat("[", kDepth) + Repeat("]", kDepth) + " }}",
      "{{ " + Repeat("{1:", kDepth) + "1" + Repeat("}", kDepth) + " }}",
      Repeat("{% if 1 %}", 8000),
      Repeat("{% for x in [1] %}", 7000),
      Repeat("{% set x %}", 7000),
      Repeat("{% generation %}", 7000),
      Repeat("{% macro a() %}", 7000),
      "{{ messages" + Repeat(".a", kDepth) + " }}",
      "{{ a" + Repeat("()", kDepth) + " }}",
  };
  for (const std::string& source : refused) CheckRefused(source, StatusCode::kInvalidArgument);
  const std::string fine[] = {
      "{{ " + Repeat("-", 2 * kDepth) + "1 }}",
      "{{ a" + Repeat("|e", kDepth) + " }}",
      "{{ " + Repeat("1<", kDepth) + "1 }}",
      "{% if 0 %}" + Repeat("{% elif 0 %}", 8000) + "{% endif %}",
      "{{ " + Repeat("a if b else ", 8000) + "a }}",
      "{{ " + Repeat("1+", 2000) + "1 }}",
  };
  for (const std::string& source : fine) {
    CAPTURE(source.substr(0, 100));
    CHECK(Render(source).ok());
  }
  CheckRefused(std::string(200'000, 'a'), StatusCode::kResourceExhausted);
}

TEST_CASE("undefined names are refused where Python refuses them") {
  CheckRefused("{{ missing.attribute }}", StatusCode::kInvalidArgument);
  CheckRefused("{{ missing() }}", StatusCode::kInvalidArgument);
  CheckRefused("{{ 1 | missing }}", StatusCode::kInvalidArgument);
  CheckRefused("{% if 1 is missing %}{% endif %}", StatusCode::kInvalidArgument);
  CheckRefused("{% include 'file' %}", StatusCode::kInvalidArgument);
  CheckRefused("{% import 'file' as f %}", StatusCode::kInvalidArgument);
}

TEST_CASE("limits are those that the caller sets") {
  CHECK(Render("{{ 'a' * 100 }}", {.fuel = 1000, .max_output_bytes = 100}).ok());
  const auto longer = Render("{{ 'a' * 101 }}", {.fuel = 1000, .max_output_bytes = 100});
  CHECK(longer.status().code() == StatusCode::kResourceExhausted);
  CHECK(longer.status().message() == "chat template: the rendered text has more than the limit of 100 bytes");
  const auto work = Render("{% for i in range(1000) %}{% endfor %}", {.fuel = 100, .max_output_bytes = 100});
  CHECK(work.status().message() == "chat template: more work than the limit of 100 units");
  CHECK(Render("", {.fuel = 1, .max_output_bytes = 0}).ok());
  CHECK_FALSE(Render("a", {.fuel = 1000, .max_output_bytes = 0}).ok());
}

TEST_CASE("sources that are no text are refused") {
  CheckRefused("\xff\xfe", StatusCode::kInvalidArgument);
  CheckRefused("{{ 'abc", StatusCode::kInvalidArgument);
  CheckRefused("{% for", StatusCode::kInvalidArgument);
  const auto nul = Render(std::string("a\0b", 3));
  REQUIRE(nul.ok());
  CHECK(*nul == std::string("a\0b", 3));
}

}  // namespace
}  // namespace guildhall
