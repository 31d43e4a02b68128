// What calls want, as far as limits tell them apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace guildhall {

enum class CallKind {
  kGenerate,    // for as long as its answer takes
  kQuery,       // short: Tokenize, ListTasks
  kAdmin,       // status, adapters, tasks
  kHealth,      // one question; never refused for what others do
  kWatch,       // health, for as long as the client likes
  kReflection,  // a conversation of bounded time
};
inline constexpr size_t kCallKinds = 6;

// One number for each kind.
using PerKind = std::array<int64_t, kCallKinds>;

inline constexpr size_t IndexOf(CallKind kind) {
  return static_cast<size_t>(kind);
}

}  // namespace guildhall
