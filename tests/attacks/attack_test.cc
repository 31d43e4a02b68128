// Every attack, small, on a real server beside an innocent client: its answers keep their bits and come in
// time, health is true at every moment, and memory, threads and descriptors are back afterwards.
#include <catch2/catch.hpp>

#include "tests/attacks/trial.h"
#include "tests/e2e/process.h"

namespace guildhall::attacks {
namespace {

// Of a machine that is busy with other tests; guildhall_attack has the real marks.
Marks GenerousMarks() {
  Marks marks{.slower = 10.0, .slower_seconds = 5.0, .memory = 1.2, .memory_bytes = int64_t{24} << 20};
#ifdef __SANITIZE_ADDRESS__
  marks.memory_bytes = int64_t{1} << 30;  // what was freed is kept for a while
#endif
  marks.threads = 16;  // of gRPC: they end when they have been idle for a while
  marks.descriptors = 8;
  return marks;
}

void CheckStands(const ServerProcess& server, std::initializer_list<std::string_view> names) {
  TrialOptions options{
      .target = {server.address(), std::chrono::milliseconds(300)}, .innocent = "", .pid = server.pid()};
  options.calls_before = 8;
  for (const std::string_view name : names) {
    const Attack* const attack = FindAttack(name);
    REQUIRE(attack != nullptr);
    options.size = attack->small_size;
    const Trial trial = RunTrial(*attack, options, GenerousMarks());
    INFO(TableHead() << '\n' << TableRow(trial));
    CHECK(Failures(trial, GenerousMarks()) == std::vector<std::string>{});
  }
}

}  // namespace

TEST_CASE("connections that do nothing, or nothing sensible, disturb nobody") {
  const ServerProcess server({}, {.tcp = true});
  CheckStands(server,
              {"fd-exhaustion", "half-prefaces", "idle-connections", "other-protocols", "garbled-headers"});
}

TEST_CASE("calls that are begun and never ended disturb nobody") {
  const ServerProcess server({}, {.tcp = true});
  CheckStands(server, {"idle-reflection", "health-watches", "idle-generate", "closed-windows",
                       "unacknowledged-settings"});
}

TEST_CASE("calls that are reset at once, and floods of frames that begin none, disturb nobody") {
  const ServerProcess server({}, {.tcp = true});
  CheckStands(server, {"rapid-reset", "reset-headers-only", "settings-flood", "continuation-flood",
                       "empty-data-flood", "priority-flood", "window-flood"});
}

TEST_CASE("messages that are none, or too many, or never come, and headers without measure disturb nobody") {
  const ServerProcess server({}, {.tcp = true});
  CheckStands(server,
              {"gzip-bomb", "metadata", "no-message", "two-messages", "header-bomb", "unsent-messages"});
}

}  // namespace guildhall::attacks
