// Who gets a thread for a call, and who is told to come again.
#include "server/call_threads.h"

#include <catch2/catch.hpp>
#include <latch>
#include <string>
#include <thread>

namespace guildhall {
namespace {

constexpr size_t kGenerate = IndexOf(CallKind::kGenerate);

TEST_CASE("one address takes its share of the calls of a kind, and others have the rest") {
  CallThreads::Limits limits;
  limits.calls[kGenerate] = 4;
  limits.calls[IndexOf(CallKind::kQuery)] = 4;
  limits.of_host[kGenerate] = 3;
  std::latch over(1);
  CallThreads threads(limits);
  const auto run = [&](const std::string& peer, CallKind kind = CallKind::kGenerate) {
    return threads.Run(kind, peer, [&] { over.wait(); });
  };
  CHECK(run("ipv4:10.0.0.7:1").ok());
  CHECK(run("ipv4:10.0.0.7:2").ok());
  CHECK(run("ipv4:10.0.0.7:2").ok());
  const absl::Status refused = run("ipv4:10.0.0.7:3");
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(refused.message() ==
        "the client's address has its limit of 3 calls of this kind open; try again later");
  for (int i = 0; i < 4; ++i) CHECK(run("ipv4:10.0.0.7:3", CallKind::kQuery).ok());
  CHECK(run("ipv6:%5Bfe80::1%5D:1").ok());
  CHECK(run("ipv4:10.0.0.8:1").message() ==
        "the server has its limit of 4 calls of this kind open; try again later");
  over.count_down();
  while (!run("ipv4:10.0.0.7:9").ok()) std::this_thread::yield();
}

TEST_CASE("clients without an address share the calls of all") {
  CallThreads::Limits limits;
  limits.calls[kGenerate] = 3;
  limits.of_host[kGenerate] = 1;
  std::latch over(1);
  CallThreads threads(limits);
  for (const bool in : {true, true, true, false})
    CHECK(threads.Run(CallKind::kGenerate, "unix:", [&] { over.wait(); }).ok() == in);
  over.count_down();
}

}  // namespace
}  // namespace guildhall
