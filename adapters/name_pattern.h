// Regular expressions on module names, as adapter configurations hold them in Python's syntax.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

// A set of states that advance together: time is at most length x states whatever the pattern (but for
// lookaheads, which are tried where they stand), and nothing recurses over the text. Immutable; thread-safe.
class NamePattern {
 public:
  // Served: literals, . ^ $ |, groups, classes, \d \w \s and their opposites, \b,
  // quantifiers (lazy ones too), lookaheads. INVALID_ARGUMENT for broken syntax;
  // FAILED_PRECONDITION for what Python has beyond that (lookbehind, back references,
  // flags, possessive quantifiers) and for patterns over 1000 characters or too many steps.
  static absl::StatusOr<NamePattern> Compile(std::string_view pattern);

  // As Python's re.fullmatch.
  bool Matches(std::string_view text) const;
  // What a match costs at most, per character.
  size_t size() const { return steps_.size(); }

 private:
  class Writer;
  enum class Op : uint8_t {
    kOneOf,
    kSplit,
    kJump,
    kBegin,
    kEnd,
    kWordEdge,
    kNoWordEdge,
    kAhead,
    kNotAhead,
    kMatch
  };
  struct Step {
    Op op;
    int32_t x = 0;  // kOneOf: the class; kSplit, kJump: where to; kAhead, kNotAhead: behind the lookahead
    int32_t y = 0;  // kSplit: where to as well
  };
  using Class = std::bitset<256>;

  // Whether a run that starts at (`step`, `at`) reaches kMatch; at the end of the text only, if `whole`.
  bool Run(int32_t step, std::string_view text, size_t at, bool whole) const;
  // Puts `step` and all that it leads to without a character into `states`.
  void Follow(int32_t step, std::string_view text, size_t at, std::vector<int32_t>& states,
              std::vector<bool>& seen) const;
  bool Holds(const Step& step, int32_t index, std::string_view text, size_t at) const;

  std::vector<Step> steps_;
  std::vector<Class> classes_;
};

}  // namespace guildhall
