#include "base/profile.h"

#include <catch2/catch.hpp>
#include <string>

using namespace guildhall;

namespace {

// Two threads: "a" runs 100 of its 300 ns alone, and its loops of 200 ns keep both threads busy for 320 ns.
Profile TwoEntries() {
  Profile profile;
  ProfileEntry& a = profile[profile.Name("a")];
  a.calls = 2;
  a.ns = 300;
  a.loops = 4;
  a.loop_ns = 200;
  a.busy_ns = 320;
  a.bytes = 600.0;
  a.flops = 1500.0;
  ProfileEntry& b = profile[profile.Name("b")];
  b.calls = 1;
  b.ns = 500;
  profile.Name("never called");
  return profile;
}

}  // namespace

TEST_CASE("shares and rates of a profile, worked out by hand") {
  const Json json = ProfileJson(TwoEntries(), 2, 1000, "rest");
  const Json& entries = json.at("entries");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].at("name") == "b");  // the longest first
  const Json& a = entries[1];
  CHECK(a.at("share") == 0.3);
  CHECK(a.at("gb_per_second") == 2.0);
  CHECK(a.at("gflop_per_second") == 5.0);
  CHECK(a.at("serial").get<double>() == Approx(1.0 / 3.0));
  CHECK(a.at("idle").get<double>() == Approx(1.0 - 420.0 / 600.0));
  CHECK(entries[0].at("serial") == 1.0);
  CHECK(entries[0].at("idle") == 0.5);
}

TEST_CASE("the entries and the rest add up to the wall time") {
  const Json json = ProfileJson(TwoEntries(), 2, 1000, "rest");
  CHECK(json.at("all").at("share").get<double>() == Approx(0.8));
  CHECK(json.at("all").at("calls") == 3);
  CHECK(json.at("rest").at("name") == "rest");
  CHECK(json.at("rest").at("share").get<double>() == Approx(0.2));
  // Entries that overlap what the clock around them saw leave nothing, not less.
  CHECK(ProfileJson(TwoEntries(), 2, 700, "rest").at("rest").at("ms") == 0.0);
}

TEST_CASE("the table has a line for each called entry, for all and for the rest") {
  const std::string text = ProfileText(TwoEntries(), 2, 1000, "outside");
  for (const char* word : {"\na ", "\nb ", "\nall of these", "\noutside"})
    CHECK(text.find(word) != std::string::npos);
  CHECK(text.find("never called") == std::string::npos);
}

TEST_CASE("a reset profile keeps its names and places") {
  Profile profile = TwoEntries();
  profile.Reset();
  CHECK(profile.TotalNs() == 0);
  CHECK(profile.Name("b") == 1);
  CHECK(profile[1].name == "b");
}
