// Finds stop strings in streamed text before any part of one is shown.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

// Searches for several stop strings at once. Text that may be the beginning of one is
// held back until it is decided, so no piece of a stop string leaks; nothing else is
// held. Work per byte is constant, whatever the stop strings. Of matches that end at
// the same byte the longest counts; otherwise the one that ends first. Single owner.
class StopMatcher {
 public:
  static constexpr size_t kMaxStops = 64;
  static constexpr size_t kMaxStopBytes = 4096;

  // What Append and Finish give: text to show now and, at the end, the stop string that was found.
  struct Output {
    std::string text;
    std::optional<size_t> stop;  // index into `stops`; the stream is over and later text is ignored
  };

  // `stops`: not empty strings, UTF-8. `include_stop`: the stop string itself is shown too.
  static absl::StatusOr<StopMatcher> Create(const std::vector<std::string>& stops, bool include_stop = false);

  // `counts`: whether a stop string that ends in `text` is one; where not, it is text like any other.
  Output Append(std::string_view text, bool counts = true);
  // The end of the stream: what was held back is shown after all.
  Output Finish();

  bool stopped() const { return stopped_.has_value(); }

 private:
  // A node of the prefix tree of all stop strings.
  struct Node {
    std::vector<std::pair<unsigned char, size_t>> children;
    size_t depth = 0;            // bytes from the root
    size_t fallback = 0;         // the longest proper suffix that is also a prefix of some stop string
    std::optional<size_t> stop;  // the longest stop string that ends here
  };

  explicit StopMatcher(bool include_stop) : nodes_(1), include_stop_(include_stop) {}
  void Insert(std::string_view stop, size_t index);
  void LinkFallbacks();
  std::optional<size_t> Child(size_t node, unsigned char byte) const;
  size_t Next(size_t node, unsigned char byte) const;

  std::vector<Node> nodes_;  // nodes_[0] is the root
  std::vector<size_t> stop_sizes_;
  bool include_stop_;
  size_t node_ = 0;   // the longest suffix of the text so far that begins a stop string
  std::string held_;  // that suffix, whole UTF-8 pieces as they came
  std::optional<size_t> stopped_;
};

}  // namespace guildhall
