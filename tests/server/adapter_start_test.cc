// A server that begins with configured adapters.
#include <catch2/catch.hpp>

#include "tests/server/adapter_fixture.h"

namespace guildhall {

TEST_CASE("configured adapters are there at the start, and what fails refuses it by name") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.preload["math"] = {"math", "e", true, ""};
  config.adapters.preload["tone"] = {"tone", "a", false, ""};
  config.tasks["sums"].id = "sums";
  config.tasks["sums"].adapters = {{"math", 1.0}, {"tone", 0.5}};
  {
    const AdapterServer server(config);
    CHECK(server.Info("math").pinned());
    CHECK_FALSE(server.Info("tone").pinned());
    const Answer answer = Ask(*server.Inference(), ScoreRequest("sums", {1, 2, 3}));
    INFO(answer.status.error_message());
    CHECK(answer.status.ok());
    CHECK(answer.end.adapters_size() == 2);
  }
  config.adapters.preload["tone"].path = "nothing";
  absl::Status status = StartStatus(config);
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK_THAT(std::string(status.message()), Catch::Contains("adapters.preload.tone: there is nothing"));
  // Adapters that replace the same experts do not go together.
  config.adapters.preload["tone"].path = "e";
  config.tasks["sums"].adapters = {{"math", 1.0}, {"tone", 1.0}};
  status = StartStatus(config);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(status.message()),
             Catch::Contains("tasks.sums.adapters") && Catch::Contains("math") && Catch::Contains("tone"));
  config.adapters.roots = {world.root + "/nowhere"};
  CHECK_THAT(std::string(StartStatus(config).message()),
             Catch::Contains("adapters.roots: expected directories"));
}

}  // namespace guildhall
