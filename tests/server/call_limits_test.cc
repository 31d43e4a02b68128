// Whose calls are open at a time, and who is told to come again.
#include "server/call_limits.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace guildhall {
namespace {

constexpr size_t kGenerate = IndexOf(CallKind::kGenerate);

TEST_CASE("one address takes its share of the calls of a kind, and others have the rest") {
  CallLimits::Options options;
  options.calls[kGenerate] = 4;
  options.calls[IndexOf(CallKind::kQuery)] = 4;
  options.of_host[kGenerate] = 3;
  CallLimits limits(options);
  std::vector<CallLimits::Ticket> open;
  const auto enter = [&](const std::string& peer, CallKind kind = CallKind::kGenerate) {
    auto ticket = limits.Enter(kind, peer);
    if (ticket.ok()) open.push_back(*std::move(ticket));
    return ticket.status();
  };
  CHECK(enter("ipv4:10.0.0.7:1").ok());
  CHECK(enter("ipv4:10.0.0.7:2").ok());
  CHECK(enter("ipv4:10.0.0.7:2").ok());
  const absl::Status refused = enter("ipv4:10.0.0.7:3");
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(refused.message() ==
        "the client's address has its limit of 3 calls of this kind open; try again later");
  for (int i = 0; i < 4; ++i) CHECK(enter("ipv4:10.0.0.7:3", CallKind::kQuery).ok());
  CHECK(enter("ipv6:%5Bfe80::1%5D:1").ok());
  CHECK(enter("ipv4:10.0.0.8:1").message() ==
        "the server has its limit of 4 calls of this kind open; try again later");
  open.clear();
  for (int i = 0; i < 3; ++i) CHECK(enter("ipv4:10.0.0.7:9").ok());
}

TEST_CASE("clients without an address share the calls of all") {
  CallLimits::Options options;
  options.calls[kGenerate] = 3;
  options.of_host[kGenerate] = 1;
  CallLimits limits(options);
  std::vector<CallLimits::Ticket> open;
  for (const bool in : {true, true, true, false}) {
    auto ticket = limits.Enter(CallKind::kGenerate, "unix:");
    CHECK(ticket.ok() == in);
    if (ticket.ok()) open.push_back(*std::move(ticket));
  }
}

}  // namespace
}  // namespace guildhall
