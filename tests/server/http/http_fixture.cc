#include "tests/server/http/http_fixture.h"

#include <catch2/catch.hpp>

#include "base/check.h"

namespace guildhall {

ServerConfig HttpTestConfig() {
  ServerConfig config = TestConfig();
  config.http.listen = "127.0.0.1:0";
  return config;
}

std::string HttpTarget(TestServer& server) {
  GH_CHECK(server.server().listener("http") != nullptr);
  return server.server().listener("http")->Target();
}

Json Parsed(const std::string& text) {
  auto json = ParseJson(text, "answer");
  INFO(text);
  REQUIRE(json.ok());
  return *std::move(json);
}

http1::Answer Post(TestServer& server, std::string_view path, const Json& body) {
  return http1::Ask(HttpTarget(server), "POST", path, DumpJson(body), "content-type: application/json\r\n");
}

std::vector<Json> Events(const std::string& body, bool& done) {
  constexpr std::string_view kData = "data: ";
  std::vector<Json> events;
  done = false;
  size_t at = 0;
  while (at < body.size()) {
    const size_t end = body.find("\n\n", at);
    REQUIRE(end != std::string::npos);
    const std::string event = body.substr(at, end - at);
    at = end + 2;
    CHECK_FALSE(done);
    if (event.starts_with(':')) continue;
    REQUIRE(event.starts_with(kData));
    done = event == "data: [DONE]";
    if (!done) events.push_back(Parsed(event.substr(kData.size())));
  }
  return events;
}

ScriptedModel::Options Saying(int32_t id, const std::string& text) {
  ScriptedModel::Options options;
  options.scripts[id] = Encode(text);
  options.scripts[id].push_back(2);
  return options;
}

}  // namespace guildhall
