// The HTTP listener itself: health, models, paths, connections, the end.
#include <catch2/catch.hpp>
#include <thread>

#include "config/loader.h"
#include "tests/server/http/http_fixture.h"
#include "tests/support/http2_client.h"

namespace guildhall {

using http1::Ask;
using http1::RequestText;

TEST_CASE("without http.listen there is no HTTP listener") {
  const TestServer server({}, TestConfig());
  CHECK(const_cast<TestServer&>(server).server().listener("http") == nullptr);
}

TEST_CASE("health, version and models are served, HEAD as GET") {
  TestServer server({}, HttpTestConfig());
  const std::string target = HttpTarget(server);
  for (const char* path : {"/health", "/livez", "/readyz", "/ping"}) {
    INFO(path);
    CHECK(Ask(target, "GET", path).status == 200);
  }
  CHECK(Ask(target, "HEAD", "/health", "", "connection: close\r\n").status == 200);
  CHECK(Parsed(Ask(target, "GET", "/version").body)["version"] == "0.1.0");

  const Json models = Parsed(Ask(target, "GET", "/v1/models").body);
  CHECK(models["object"] == "list");
  REQUIRE(models["data"].size() == 3);
  CHECK(models["data"][0]["id"] == "base");
  CHECK(models["data"][0]["parent"].is_null());
  CHECK(models["data"][1]["id"] == "plain");
  CHECK(models["data"][1]["parent"] == "base");
  CHECK(models["data"][1]["owned_by"] == "guildhall");
  CHECK(models["data"][1]["root"] == "plain");
  CHECK(models["data"][1]["max_model_len"] == 1024);
  CHECK(Parsed(Ask(target, "GET", "/v1/models/t%65ll").body)["id"] == "tell");
  const http1::Answer unknown = Ask(target, "GET", "/v1/models/nobody");
  CHECK(unknown.status == 404);
  CHECK(Parsed(unknown.body)["error"]["code"] == "model_not_found");
}

TEST_CASE("the base has the configured name, and the empty one") {
  ServerConfig config = HttpTestConfig();
  config.http.model_name = "demo-1";
  TestServer server({}, config);
  CHECK(Parsed(Ask(HttpTarget(server), "GET", "/v1/models").body)["data"][0]["id"] == "demo-1");
  for (const char* model : {"demo-1", ""}) {
    const Json answer =
        Parsed(Post(server, "/v1/completions", {{"model", model}, {"prompt", {5}}, {"max_tokens", 1}}).body);
    CHECK(answer["model"] == "demo-1");
  }
}

TEST_CASE("readiness follows the server, liveness does not") {
  ServerConfig config = HttpTestConfig();
  auto server = StartServer(config);
  REQUIRE(server.ok());
  const std::string target = (*server)->listener("http")->Target();
  CHECK(Ask(target, "GET", "/readyz").status == 503);
  CHECK(Ask(target, "GET", "/livez").status == 200);
  const http1::Answer models = Ask(target, "GET", "/v1/models");
  CHECK(models.status == 503);
  CHECK(models.Header("retry-after") == "5");
  CHECK(models.Header("retry-after-ms") == "5000");
}

TEST_CASE("every answer has a request id: the client's where that is fit for a header") {
  TestServer server({}, HttpTestConfig());
  const std::string target = HttpTarget(server);
  CHECK(Ask(target, "GET", "/version", "", "x-request-id: mine-1\r\n").Header("x-request-id") == "mine-1");
  const std::string own = Ask(target, "GET", "/nowhere").Header("x-request-id");
  CHECK(own.starts_with("req-"));
  CHECK(Ask(target, "GET", "/nowhere").Header("x-request-id") != own);
  const std::string hostile = "x-request-id: " + std::string(200, 'x') + "\r\n";
  CHECK(Ask(target, "GET", "/version", "", hostile).Header("x-request-id").starts_with("req-"));
}

TEST_CASE("an unknown path is 404, another method 405, each in the form of an error") {
  TestServer server({}, HttpTestConfig());
  const http1::Answer nowhere = Ask(HttpTarget(server), "GET", "/v2/models");
  CHECK(nowhere.status == 404);
  CHECK(Parsed(nowhere.body)["error"]["type"] == "invalid_request_error");
  const http1::Answer method = Ask(HttpTarget(server), "GET", "/v1/completions");
  CHECK(method.status == 405);
  CHECK(method.Header("allow") == "POST");
  CHECK(Parsed(method.body)["error"]["message"].get<std::string>().find("takes POST") != std::string::npos);
}

TEST_CASE("a connection carries one request behind the other, also when they are sent together") {
  TestServer server({}, HttpTestConfig());
  const auto client = http1::Client::Connect(HttpTarget(server));
  REQUIRE(client != nullptr);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client->Send(RequestText("GET", "/version")));
    CHECK(client->Receive().status == 200);
  }
  REQUIRE(client->Send(RequestText("GET", "/version") +
                       RequestText("GET", "/version", "", "connection: close\r\n")));
  CHECK(client->AwaitClose(std::chrono::seconds(10)));
  const v1::ListenerStatus counts = server.Counts("http");
  CHECK(counts.accepted_connections() == 1);
  server.WaitFor([&](const auto&) { return server.Counts("http").connections() == 0; });
}

TEST_CASE("HTTP/2 without TLS is served on the same port") {
  TestServer server(Saying(50, "Good day."), HttpTestConfig());
  auto client = http2::Client::Connect(HttpTarget(server));
  REQUIRE(client.ok());
  REQUIRE((*client)->Begin());
  std::vector<uint32_t> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back((*client)->Open("/v1/completions"));
    REQUIRE((*client)->SendData(streams.back(), R"({"prompt": [50], "max_tokens": 20})"));
  }
  const http2::CallEnd end = (*client)->Await(streams.back());
  CHECK(Parsed(end.data)["choices"][0]["text"] == "Good day.");
}

TEST_CASE("a shutdown lets open streams end, closes idle connections and refuses new ones") {
  ScriptedModel::Options model = Saying(50, "Good day.");
  auto server = std::make_unique<TestServer>(model, HttpTestConfig());
  const std::string target = HttpTarget(*server);
  const auto idle = http1::Client::Connect(target);
  const auto open = http1::Client::Connect(target);
  REQUIRE(idle->Send(RequestText("GET", "/version")));
  REQUIRE(idle->Receive().status == 200);
  server->model().Hold();
  REQUIRE(open->Send(
      RequestText("POST", "/v1/chat/completions",
                  R"({"messages":[{"role":"user","content":"Hi"}],"stream":true,"max_tokens":4})")));
  REQUIRE(open->AwaitText("assistant"));
  server->server().BeginDrain();
  CHECK(Ask(target, "GET", "/readyz").status == 503);
  CHECK(Ask(target, "GET", "/v1/models").status == 503);
  std::thread drained([&] { CHECK(server->server().RunUntilDrained()); });
  server->model().Release();
  const http1::Answer answer = open->Receive();
  CHECK(answer.complete);
  CHECK(answer.body.ends_with("data: [DONE]\n\n"));
  CHECK(idle->AwaitClose(std::chrono::seconds(10)));
  drained.join();
  CHECK(http1::Client::Connect(target) == nullptr);
}

TEST_CASE("two listeners of a server do not share an address, and http.model_name is no task") {
  ServerConfig config = HttpTestConfig();
  config.http.listen = "127.0.0.1:7001";
  config.server.listen = "127.0.0.1:7001";
  CHECK(CheckConfig(config).message() ==
        "http.listen and server.listen are the same, 127.0.0.1:7001; each needs its own");
  config = HttpTestConfig();
  config.http.model_name = "plain";
  CHECK(CheckConfig(config).message() == "http.model_name: plain is a task; the base needs another name");
}

}  // namespace guildhall
