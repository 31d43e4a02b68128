// The end of the server: in its order, in its time, whatever hangs.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "server/server_state.h"
#include "server/shutdown_watchdog.h"
#include "tests/server/fixture.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

// Every call that is made beside the end of a server, until it is told that nobody is there.
struct CallsBesideTheEnd {
  std::atomic<int> served{0}, unavailable{0};
  std::mutex mutex;
  std::vector<std::string> others;

  void Make(v1::Inference::Stub& stub, const std::atomic<bool>& gone) {
    while (true) {
      const bool last = gone;
      const grpc::Status status = Ask(stub, IdRequest(5, 1)).status;
      if (status.ok()) {
        ++served;
      } else if (status.error_code() == grpc::UNAVAILABLE) {
        ++unavailable;
      } else {
        const std::lock_guard lock(mutex);
        others.push_back(StrCat(static_cast<int>(status.error_code()), ": ", status.error_message()));
      }
      if (last) return;
    }
  }
};

TEST_CASE("calls that come at any moment of a drain are served or told UNAVAILABLE") {
  const TempFolder folder;
  for (int round = 0; round < 20; ++round) {
    ServerConfig config = TestConfig();
    if (round % 4 == 0) config.server.listen = "unix:" + (folder / "requests");
    TestServer server({}, config);
    std::atomic<bool> gone{false};
    CallsBesideTheEnd calls;
    std::vector<std::thread> clients;
    // Two on each connection: one of them calls while an answer of the other is on its way.
    for (int i = 0; i < 4; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      const auto channel = grpc::CreateCustomChannel(InferenceTarget(server.server()),
                                                     grpc::InsecureChannelCredentials(), arguments);
      for (int j = 0; j < 2; ++j) {
        clients.emplace_back([&, stub = v1::Inference::NewStub(channel)] { calls.Make(*stub, gone); });
      }
    }
    while (calls.served < 20) std::this_thread::yield();
    server.server().BeginDrain();
    CHECK(server.server().RunUntilDrained());
    gone = true;
    for (std::thread& client : clients) client.join();
    CHECK(calls.others == std::vector<std::string>());
    CHECK(calls.unavailable >= 8);
    // No answer was cut off by the end of its connection.
    uint64_t accepted = 0;
    for (const auto& task : server.server().state().deployment()->engine->Status().tasks) {
      accepted += task.requests;
    }
    CHECK(accepted == static_cast<uint64_t>(calls.served));
  }
}

TEST_CASE("a listener of the drain runs once, before the state says so, and all who drain wait for it") {
  ServerState state;
  std::atomic<int> runs{0};
  bool early = false;
  state.OnDrain([&] {
    early = state.phase() == ServerState::Phase::kDraining;
    absl::SleepFor(absl::Milliseconds(20));
    ++runs;
  });
  std::atomic<int> late{0};
  std::vector<std::thread> drains;
  for (int i = 0; i < 4; ++i) {
    drains.emplace_back([&] {
      state.BeginDrain(std::nullopt);
      late += runs == 1 ? 0 : 1;
    });
  }
  for (std::thread& drain : drains) drain.join();
  CHECK(runs == 1);
  CHECK_FALSE(early);
  CHECK(late == 0);
}

TEST_CASE("the watchdog that is disarmed in time ends nothing") {
  ShutdownWatchdog watchdog;
  watchdog.Arm(absl::Seconds(60));
  watchdog.Arm(absl::ZeroDuration());  // the first one counts
  watchdog.Enter("nothing");
}

struct Ended {
  int code = -1;
  std::string output;
};

// What a child process says and how it ends.
template <typename Body>
Ended InChild(Body body) {
  int ends[2] = {-1, -1};
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  Ended ended;
  char buffer[512];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    ended.output.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) ended.code = WEXITSTATUS(status);
  return ended;
}

TEST_CASE("a shutdown that hangs is ended at its time, and says what it waited for") {
  const Ended ended = InChild([] {
    ShutdownWatchdog watchdog;
    std::thread([] {
      pthread_setname_np(pthread_self(), "engine");
      for (std::atomic<uint64_t> turns{0};;) ++turns;
    }).detach();
    int silent[2] = {-1, -1};
    if (pipe(silent) != 0) _exit(2);
    std::thread([&] {
      pthread_setname_np(pthread_self(), "adapter-loader");
      char byte = 0;
      (void)!read(silent[0], &byte, 1);
    }).detach();
    watchdog.Arm(absl::Milliseconds(300));
    watchdog.Enter("the engine's step");
    sleep(60);
  });
  CHECK(ended.code == ShutdownWatchdog::kExitCode);
  CHECK_THAT(ended.output, Catch::Contains("it waited for the engine's step") &&
                               Catch::Contains("engine (running)") &&
                               Catch::Contains("adapter-loader (in a read)"));
}

TEST_CASE("a shutdown that hangs ends at its time when nobody reads the log") {
#if defined(GUILDHALL_TSAN)
  return;  // the sanitizer has words of its own for that log before the process may end
#endif
  const Ended ended = InChild([] {
    int full[2] = {-1, -1};
    if (pipe(full) != 0 || fcntl(full[1], F_SETFL, O_NONBLOCK) != 0) _exit(2);
    const std::array<char, 4096> something{};
    while (write(full[1], something.data(), something.size()) > 0) {
    }
    if (fcntl(full[1], F_SETFL, 0) != 0 || dup2(full[1], STDERR_FILENO) < 0) _exit(2);
    ShutdownWatchdog watchdog;
    watchdog.Arm(absl::Milliseconds(100));
    sleep(60);
  });
  CHECK(ended.code == ShutdownWatchdog::kExitCode);
}

}  // namespace
}  // namespace guildhall
