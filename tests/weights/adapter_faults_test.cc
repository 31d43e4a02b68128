// Who is blamed for numbers that are not finite, and who is not.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "weights/adapter_faults.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

AdapterSet Set(const std::vector<std::pair<uint64_t, float>>& members) {
  AdapterSet set;
  for (const auto& [version, scale] : members) {
    set.members.push_back({.name = "x", .version = version, .scale = scale, .weights = nullptr});
  }
  return set;
}

AdapterInfo Told(const AdapterFaults& faults, uint64_t version) {
  AdapterInfo info;
  info.version = version;
  faults.Tell(info);
  return info;
}

void Fail(AdapterFaults& faults, const AdapterSet& set, int times) {
  for (int i = 0; i < times; ++i) faults.Suspect(set, "the model gave nan");
  faults.Confirm();
}

absl::Status Check(const AdapterFaults& faults, const std::vector<AdapterUse>& uses,
                   const std::vector<uint64_t>& versions) {
  return faults.Check(uses, versions);
}

TEST_CASE("faults: what is suspected counts once the base is known to be good, and never when it is not") {
  AdapterFaults faults(2);
  const AdapterSet bad = Set({{7, 1.0f}});
  CHECK_FALSE(faults.any());
  faults.Suspect(bad, "the model gave nan");
  faults.Suspect(bad, "the model gave nan");
  CHECK(Told(faults, 7).faults == 0);
  faults.Dismiss();
  faults.Confirm();
  CHECK(Told(faults, 7).faults == 0);
  CHECK(Check(faults, {{"bad", 1.0f}}, {7}).ok());
  Fail(faults, bad, 2);
  const AdapterInfo info = Told(faults, 7);
  CHECK(info.faults == 2);
  CHECK(info.consecutive_faults == 2);
  CHECK(info.last_fault == "the model gave nan");
  CHECK(info.shut_off);
}

TEST_CASE("faults: a combination is shut off with the reason and the cure, others with its members are not") {
  AdapterFaults faults(3);
  Fail(faults, Set({{7, 1.0f}}), 2);
  CHECK(Check(faults, {{"bad", 1.0f}}, {7}).ok());
  Fail(faults, Set({{7, 1.0f}}), 1);
  const absl::Status refused = Check(faults, {{"bad", 1.0f}}, {7});
  CHECK(refused.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(refused.message()),
             Contains("adapter bad (version 7) is shut off") && Contains("3 requests in a row") &&
                 Contains("the model gave nan") && Contains("Load another version"));
  CHECK(Check(faults, {{"bad", 0.5f}}, {7}).ok());  // another factor may well be finite
  CHECK(Check(faults, {{"bad", 1.0f}}, {8}).ok());  // another version
  CHECK(Check(faults, {{"good", 1.0f}, {"bad", 1.0f}}, {1, 7}).ok());
  Fail(faults, Set({{1, 1.0f}, {7, 1.0f}}), 3);
  CHECK_THAT(std::string(Check(faults, {{"good", 1.0f}, {"bad", 1.0f}}, {1, 7}).message()),
             Contains("adapters good (version 1) and bad (version 7) together are shut off"));
  CHECK(Check(faults, {{"good", 1.0f}}, {1}).ok());  // not to blame alone
  CHECK(Told(faults, 7).faults == 6);
}

TEST_CASE("faults: a request that ends well begins the row anew, but lets nobody in again") {
  AdapterFaults faults(3);
  const AdapterSet set = Set({{7, 1.0f}});
  Fail(faults, set, 2);
  faults.Succeeded(set);
  CHECK(Told(faults, 7).consecutive_faults == 0);
  CHECK(Told(faults, 7).faults == 2);
  Fail(faults, set, 3);
  faults.Succeeded(set);  // it ran already
  CHECK_FALSE(Check(faults, {{"bad", 1.0f}}, {7}).ok());
}

TEST_CASE("faults: without a number nobody is shut off, and what is remembered is bounded") {
  AdapterFaults faults;
  Fail(faults, Set({{7, 1.0f}}), 100);
  CHECK(Check(faults, {{"bad", 1.0f}}, {7}).ok());
  CHECK_FALSE(Told(faults, 7).shut_off);
  for (uint64_t version = 100; version < 3000; ++version) faults.Suspect(Set({{version, 1.0f}}), "nan");
  faults.Confirm();
  CHECK(Told(faults, 7).faults == 0);  // the oldest is forgotten
  CHECK(Told(faults, 2999).faults == 1);
}

}  // namespace
}  // namespace guildhall
