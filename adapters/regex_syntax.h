// The syntax of Python's regular expressions, as far as module names need it: text -> tree.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

struct RegexNode {
  enum class Kind : uint8_t {
    kOneOf,     // a character of `members`
    kSequence,  // children, one after another
    kChoice,    // one of the children
    kRepeat,    // the only child, `least` to `most` times
    kBegin,
    kEnd,
    kWordEdge,
    kNoWordEdge,
    kAhead,  // the only child matches here, and nothing is consumed
    kNotAhead,
  };
  static constexpr int kMany = -1;  // most: no bound

  Kind kind = Kind::kSequence;
  std::bitset<256> members;
  std::vector<RegexNode> children;
  int least = 1, most = 1;
};

// INVALID_ARGUMENT: broken syntax. FAILED_PRECONDITION: what Python has beyond NamePattern's list, text that
// is not plain ASCII, or more than 1000 characters, with the cure. Nesting is bounded.
absl::StatusOr<RegexNode> ParseRegex(std::string_view text);

}  // namespace guildhall
