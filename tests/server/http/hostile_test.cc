// Clients that speak HTTP badly on purpose: the server answers, and others are served.
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "tests/server/http/http_fixture.h"
#include "tests/support/http2_client.h"

namespace guildhall {
namespace {

using http1::Client;
using http1::RequestText;

constexpr char kText[] = "/v1/completions";

// An innocent client is answered as ever.
void CheckInnocent(TestServer& server) {
  const http1::Answer answer = Post(server, kText, {{"model", "plain"}, {"prompt", {5}}, {"max_tokens", 1}});
  CHECK(answer.status == 200);
}

}  // namespace

TEST_CASE("headers that never end and connections that say nothing are closed in time") {
  ServerConfig config = HttpTestConfig();
  config.http.header_timeout_s = 0.3;
  TestServer server({}, config);
  std::vector<std::unique_ptr<Client>> slow;
  for (const char* begin :
       {"", "GET /vers", "GET /version HTTP/1.1\r\nhost: a\r\nx: ", "PRI * HTTP/2.0\r\n"}) {
    slow.push_back(Client::Connect(HttpTarget(server)));
    slow.back()->Send(begin);
  }
  // A later request of a connection has the same time from its first byte on.
  slow.push_back(Client::Connect(HttpTarget(server)));
  slow.back()->Send(RequestText("GET", "/version"));
  CHECK(slow.back()->Receive().status == 200);
  slow.back()->Send("GET /ver");
  CheckInnocent(server);
  for (const auto& client : slow) CHECK(client->AwaitClose(std::chrono::seconds(10)));
  server.WaitFor([&](const auto&) { return server.Counts("http").connections() == 0; });
}

TEST_CASE("a connection without requests is closed when it has been idle for too long") {
  ServerConfig config = HttpTestConfig();
  config.http.idle_timeout_s = 1;
  TestServer server({}, config);
  const auto client = Client::Connect(HttpTarget(server));
  client->Send(RequestText("GET", "/version"));
  CHECK(client->Receive().status == 200);
  CHECK(client->AwaitClose(std::chrono::seconds(10)));
}

TEST_CASE("headers over their limit are refused") {
  ServerConfig config = HttpTestConfig();
  config.http.header_bytes = 12'000;
  TestServer server({}, config);
  const std::string big = "x-big: " + std::string(14'000, 'x') + "\r\n";
  CHECK(http1::Ask(HttpTarget(server), "GET", "/version", "", big).status == 431);
  std::string many;
  for (int i = 0; i < 500; ++i) many += StrCat("x-", i, ": 1\r\n");
  CHECK(http1::Ask(HttpTarget(server), "GET", "/version", "", many).status == 431);
  const std::string fits = "x-big: " + std::string(10'000, 'x') + "\r\n";
  CHECK(http1::Ask(HttpTarget(server), "GET", "/version", "", fits).status == 200);
  CheckInnocent(server);
}

TEST_CASE("a body over its limit is 413, announced or not") {
  ServerConfig config = HttpTestConfig();
  config.http.body_bytes = 4096;
  TestServer server({}, config);
  const std::string body(5000, 'x');
  const http1::Answer announced = http1::Ask(HttpTarget(server), "POST", kText, body);
  CHECK(announced.status == 413);
  CHECK(Parsed(announced.body)["error"]["message"].get<std::string>().find("http.body_bytes") !=
        std::string::npos);
  const auto chunked = Client::Connect(HttpTarget(server));
  chunked->Send(StrCat("POST ", kText, " HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"));
  for (int i = 0; i < 5; ++i) chunked->Send("400\r\n" + std::string(1024, 'x') + "\r\n");
  chunked->Send("0\r\n\r\n");
  CHECK(chunked->Receive().status == 413);
  CheckInnocent(server);
}

TEST_CASE("a body that does not come is 408") {
  ServerConfig config = HttpTestConfig();
  config.http.body_timeout_s = 0.3;
  TestServer server({}, config);
  const auto client = Client::Connect(HttpTarget(server));
  client->Send(StrCat("POST ", kText, " HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"));
  CHECK(client->Receive().status == 408);
  CheckInnocent(server);
}

TEST_CASE("bodies share a quota of memory") {
  ServerConfig config = HttpTestConfig();
  config.http.memory_quota_bytes = 1 << 20;
  TestServer server({}, config);
  std::vector<std::unique_ptr<Client>> holders;
  for (int i = 0; i < 3; ++i) {
    holders.push_back(Client::Connect(HttpTarget(server)));
    holders.back()->Send(StrCat("POST ", kText, " HTTP/1.1\r\nhost: a\r\ncontent-length: 600000\r\n\r\n",
                                std::string(500'000, 'x')));
  }
  // The third is over it: read to its end, it is told so.
  int refused = 0;
  for (const auto& holder : holders) {
    holder->Send(std::string(100'000, 'x'));
    const http1::Answer answer = holder->Receive();
    CHECK((answer.status == 503 || answer.status == 400));
    if (answer.status == 503) ++refused;
    if (answer.status == 503) CHECK(answer.Header("retry-after") == "1");
  }
  CHECK(refused >= 1);
  CheckInnocent(server);
}

TEST_CASE("what is no HTTP gets an error or the end of its connection") {
  TestServer server({}, HttpTestConfig());
  const std::string post = StrCat("POST ", kText, " HTTP/1.1\r\nhost: a\r\n");
  const std::vector<std::string> texts = {
      std::string("\0\1\2\3\4\5\6\7", 8) + std::string(100, '\xff'),
      "GET\r\n\r\n",
      "GET /version HTTP/9.9\r\n\r\n",
      "GET /version HTTP/1.1\r\nbad header\r\n\r\n",
      "GET /version HTTP/1.1\r\nhost: a\r\nx: \x01\r\n\r\n",
      post + "content-length: -5\r\n\r\n",
      post + "content-length: 99999999999999999999999\r\n\r\n",
      post + "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
      post + "transfer-encoding: chunked\r\n\r\nxyz\r\n",
      post + "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
      post + "transfer-encoding: chunked\r\n\r\n5\r\nhel",
      post + "transfer-encoding: gzip\r\n\r\nhello",
  };
  for (const std::string& text : texts) {
    INFO(text);
    const auto client = Client::Connect(HttpTarget(server));
    client->Send(text);
    shutdown(client->fd(), SHUT_WR);
    const http1::Answer answer = client->Receive(std::chrono::seconds(10));
    CHECK((answer.status == 0 || (answer.status >= 400 && answer.status < 500)));
    CHECK(client->AwaitClose(std::chrono::seconds(10)));
  }
  CheckInnocent(server);
}

TEST_CASE("JSON that is no text, is too deep, or has numbers beyond all limits is 400") {
  TestServer server({}, HttpTestConfig());
  const auto nested = [](size_t depth) {
    return R"({"prompt":"a","x":)" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  std::string keys = R"({"prompt":"a")";
  for (int i = 0; i < 20'000; ++i) keys += StrCat(",\"k", i, "\":1");
  const std::vector<std::string> bodies = {
      "{\"prompt\":\"\xff\xfe\"}",
      "{\"prompt\":\"\xed\xa0\x80\"}",
      R"({"prompt":"\ud800"})",
      nested(100),
      nested(100'000),
      keys + "}",
      R"({"prompt":"a","max_tokens":1e400})",
      R"({"prompt":"a","max_tokens":-9223372036854775809})",
      R"({"prompt":"a","n":2147483648})",
      R"({"prompt":"a","top_k":9223372036854775807})",
      R"({"prompt":[2147483648]})",
      R"({"prompt":"a","logit_bias":{"2147483648":1}})",
      R"({"prompt":"a","logit_bias":{"5":1e39}})",
      R"({"prompt":"a","temperature":NaN})",
      "",
      "null",
  };
  for (const std::string& body : bodies) {
    INFO(body.substr(0, 100));
    CHECK(http1::Ask(HttpTarget(server), "POST", kText, body).status == 400);
  }
  CheckInnocent(server);
}

TEST_CASE("a client of HTTP/2 that opens no window is cut off, whatever its answer is like") {
  ServerConfig config = HttpTestConfig();
  config.engine.stall_limit_s = 0.5;
  TestServer server({}, config);
  for (const char* stream : {"true", "false"}) {
    auto client = http2::Client::Connect(HttpTarget(server));
    REQUIRE(client.ok());
    constexpr uint16_t kInitialWindowSize = 4;
    REQUIRE((*client)->Begin({{kInitialWindowSize, 0}}));
    for (int i = 0; i < 4; ++i) {
      const uint32_t id = (*client)->Open(kText);
      const std::string body = StrCat(R"({"prompt": [5], "max_tokens": 600, "stream": )", stream, "}");
      REQUIRE((*client)->SendData(id, body));
    }
    CHECK((*client)->AwaitClose(std::chrono::seconds(10)));
  }
  server.WaitUntilIdle();
  CheckInnocent(server);
}

TEST_CASE("what is kept for a whole answer counts, and one that would be too large ends") {
  ServerConfig config = HttpTestConfig();
  config.limits.request_memory_bytes = 2 << 20;
  TestServer server({}, config);
  Json body = {{"prompt", {5}}, {"max_tokens", 900}, {"logprobs", 20}};
  const http1::Answer answer = Post(server, kText, body);
  CHECK(answer.status == 429);
  CHECK(Parsed(answer.body)["error"]["message"].get<std::string>().find("the memory for requests is full") !=
        std::string::npos);
  body["stream"] = true;
  CHECK(Post(server, kText, body).body.ends_with("data: [DONE]\n\n"));
  CheckInnocent(server);
}

TEST_CASE("one address leaves connections to others, and idle ones make room") {
  ServerConfig config = HttpTestConfig();
  config.http.connections = 8;
  TestServer server({}, config);
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(Client::Connect(HttpTarget(server)));
    idle.back()->Send(RequestText("GET", "/version"));
  }
  server.WaitFor([&](const auto&) {
    const v1::ListenerStatus counts = server.Counts("http");
    return counts.accepted_connections() + counts.refused_connections() >= 20;
  });
  CHECK(server.Counts("http").connections() <= 8);
  // Once it has been idle for a second, the longest idle one makes room.
  const auto served = [&] {
    return Post(server, kText, {{"model", "plain"}, {"prompt", {5}}, {"max_tokens", 1}}).status == 200;
  };
  bool innocent = false;
  for (int tries = 0; tries < 100 && !innocent; ++tries) {
    absl::SleepFor(absl::Milliseconds(100));
    innocent = served();
  }
  CHECK(innocent);

  config.http.connections_per_host = 2;
  TestServer narrow({}, config);
  std::vector<std::unique_ptr<Client>> three;
  for (int i = 0; i < 3; ++i) three.push_back(Client::Connect(HttpTarget(narrow)));
  CHECK(three[2]->AwaitClose(std::chrono::seconds(10)));
  CHECK(narrow.Counts("http").refused_connections() == 1);
}

}  // namespace guildhall
