// A packed folder through the binary: it answers as packing at load does.
#include <catch2/catch.hpp>

#include "base/json.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"
#include "tests/support/compare.h"

namespace guildhall {
namespace {

const std::string kModel = std::string(GUILDHALL_SOURCE_DIR) + "/demo/model";

std::vector<v1::GenerateRequest> Requests() {
  std::vector<v1::GenerateRequest> requests;
  for (const char* text : {"forty-two", "Hello", "three hundred and one"})
    requests.push_back(GreedyRequest("", text, 24));
  return requests;
}

}  // namespace

TEST_CASE("a server over a quantized folder answers as one that quantizes at load", "[cpu]") {
  const TempFolder folder;
  const std::string out = folder.path() + "/int4";
  const Finished written = RunCommand({"quantize", kModel, out, "--experts", "int4", "--shared-experts",
                                       "int4", "--attention", "int8", "--head", "int8"});
  INFO(written.err);
  REQUIRE(written.exit_code == 0);
  CHECK(RunCommand({"quantize", kModel, out, "--experts", "int4"}).exit_code == 1);

  std::vector<Answer> expected;
  {
    const ServerProcess server({"weights.experts=int4", "weights.shared_experts=int4",
                                "weights.attention=int8", "weights.head=int8"});
    expected = AskTogether(server.address(), Requests());
    CHECK(server.Log().find("weights: experts=int4,shared_experts=int4,attention=int8,head=int8") !=
          std::string::npos);
  }
  for (const std::string map : {"false", "true"}) {
    const ServerProcess server({"model.path=" + out, "weights.map=" + map});
    const std::vector<Answer> found = AskTogether(server.address(), Requests());
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      INFO("map " << map << ", request " << i << ": " << found[i].status.error_message());
      CHECK(found[i].status.ok());
      CHECK_FALSE(found[i].tokens.empty());
      CHECK(found[i].text == expected[i].text);
      CHECK(found[i].tokens == expected[i].tokens);
      CHECK(SameBits(found[i].logprobs, expected[i].logprobs));
    }
  }
}

TEST_CASE("inspect tells a packed folder, and what it cannot do is refused with the cure", "[cpu]") {
  const TempFolder folder;
  const std::string out = folder.path() + "/int8";
  REQUIRE(RunCommand({"quantize", kModel, out, "--weights", "int8"}).exit_code == 0);
  const Finished inspected = RunCommand({"inspect", out, "--json"});
  REQUIRE(inspected.exit_code == 0);
  const auto json = ParseJson(inspected.out, "inspect");
  REQUIRE(json.ok());
  CHECK((*json)["weights"] == "int8");
  CHECK((*json)["sources"].size() >= 2);
  const Finished requantized =
      RunCommand({"score", "--model", out, "--weights", "int4", "--text", out + "/config.json"});
  CHECK(requantized.exit_code == 1);
  CHECK(requantized.err.find("packed as int8") != std::string::npos);
  const Finished again = RunCommand({"quantize", out, folder.path() + "/again", "--weights", "int4"});
  CHECK(again.exit_code == 1);
  CHECK(again.err.find("name the folder that they were made of") != std::string::npos);
  const Finished unknown = RunCommand({"quantize", kModel, folder.path() + "/x", "--experts", "int3"});
  CHECK(unknown.exit_code == 1);
  CHECK(unknown.err.find("int4_offset") != std::string::npos);
}

}  // namespace guildhall
