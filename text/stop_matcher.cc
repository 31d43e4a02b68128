#include "text/stop_matcher.h"

#include <queue>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace guildhall {
namespace {

// Text is cut between characters only: moves `at` back to the beginning of the character it is in.
size_t CharacterBegin(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

}  // namespace

absl::StatusOr<StopMatcher> StopMatcher::Create(const std::vector<std::string>& stops, bool include_stop) {
  if (stops.size() > kMaxStops) {
    return absl::InvalidArgumentError(
        absl::StrCat("stop: ", stops.size(), " strings, more than the limit of ", kMaxStops));
  }
  StopMatcher matcher(include_stop);
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty()) return absl::InvalidArgumentError(absl::StrCat("stop[", i, "]: an empty string"));
    if (stops[i].size() > kMaxStopBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("stop[", i, "]: ", stops[i].size(), " bytes, more than the limit of ", kMaxStopBytes));
    }
    matcher.Insert(stops[i], i);
    matcher.stop_sizes_.push_back(stops[i].size());
  }
  matcher.LinkFallbacks();
  return matcher;
}

void StopMatcher::Insert(std::string_view stop, size_t index) {
  size_t node = 0;
  for (const char c : stop) {
    const auto byte = static_cast<unsigned char>(c);
    std::optional<size_t> child = Child(node, byte);
    if (!child) {
      child = nodes_.size();
      nodes_[node].children.emplace_back(byte, *child);
      nodes_.push_back({.children = {}, .depth = nodes_[node].depth + 1, .fallback = 0, .stop = {}});
    }
    node = *child;
  }
  // Of equal stop strings the first is reported.
  if (!nodes_[node].stop) nodes_[node].stop = index;
}

void StopMatcher::LinkFallbacks() {
  // Breadth first: a fallback is always nearer to the root, so it is linked already.
  std::queue<size_t> open;
  open.push(0);
  while (!open.empty()) {
    const size_t node = open.front();
    open.pop();
    for (const auto& [byte, child] : nodes_[node].children) {
      if (node != 0) nodes_[child].fallback = Next(nodes_[node].fallback, byte);
      if (!nodes_[child].stop) nodes_[child].stop = nodes_[nodes_[child].fallback].stop;
      open.push(child);
    }
  }
}

std::optional<size_t> StopMatcher::Child(size_t node, unsigned char byte) const {
  for (const auto& [key, child] : nodes_[node].children) {
    if (key == byte) return child;
  }
  return std::nullopt;
}

size_t StopMatcher::Next(size_t node, unsigned char byte) const {
  for (;;) {
    if (const std::optional<size_t> child = Child(node, byte)) return *child;
    if (node == 0) return 0;
    node = nodes_[node].fallback;
  }
}

StopMatcher::Output StopMatcher::Append(std::string_view text, bool counts) {
  if (stopped_) return {};
  const size_t before = held_.size();
  held_.append(text);
  for (size_t i = before; i < held_.size(); ++i) {
    node_ = Next(node_, static_cast<unsigned char>(held_[i]));
    if (const std::optional<size_t> stop = nodes_[node_].stop; counts && stop) {
      stopped_ = stop;
      held_.resize(i + 1 - (include_stop_ ? 0 : stop_sizes_[*stop]));
      return {std::exchange(held_, {}), stop};
    }
  }
  const size_t final_size = CharacterBegin(held_, held_.size() - nodes_[node_].depth);
  Output output{held_.substr(0, final_size), std::nullopt};
  held_.erase(0, final_size);
  return output;
}

StopMatcher::Output StopMatcher::Finish() {
  if (stopped_) return {};
  node_ = 0;
  return {std::exchange(held_, {}), std::nullopt};
}

}  // namespace guildhall
