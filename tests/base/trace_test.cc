#include "base/trace.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/json.h"

using namespace guildhall;

namespace {

class TraceFile {
 public:
  explicit TraceFile(const Trace& trace)
      : path_(std::filesystem::temp_directory_path() / "guildhall_trace_test.json") {
    REQUIRE(trace.Write(path_.string()).ok());
    std::ostringstream text;
    text << std::ifstream(path_).rdbuf();
    const auto parsed = ParseJson(text.str(), "trace");
    REQUIRE(parsed.ok());
    json_ = *parsed;
  }
  ~TraceFile() { std::filesystem::remove(path_); }

  const Json& json() const { return json_; }
  // The spans, without what names the tracks.
  std::vector<Json> Spans() const {
    std::vector<Json> spans;
    for (const Json& event : json_.at("traceEvents"))
      if (event.at("ph") == "X") spans.push_back(event);
    return spans;
  }

 private:
  std::filesystem::path path_;
  Json json_;
};

}  // namespace

TEST_CASE("a trace is written as the trace event format, times from the first event in microseconds") {
  Trace trace(2);
  const int step = trace.Name("step \"one\"");
  CHECK(trace.Name("step \"one\"") == step);
  trace.NameTrack(1, "worker 1");
  trace.Add(0, step, 5'000'000, 7'500'000);
  trace.Add(1, trace.Name("o"), 5'001'000, 5'001'250);
  const TraceFile file(trace);
  const std::vector<Json> spans = file.Spans();
  REQUIRE(spans.size() == 2);
  CHECK(spans[0].at("name") == "step \"one\"");
  CHECK(spans[0].at("tid") == 0);
  CHECK(spans[0].at("ts") == 0.0);
  CHECK(spans[0].at("dur") == 2500.0);
  CHECK(spans[1].at("tid") == 1);
  CHECK(spans[1].at("ts") == 1.0);
  CHECK(spans[1].at("dur") == 0.25);
  const Json& names = file.json().at("traceEvents");
  CHECK(names[0].at("args").at("name") == "thread 0");
  CHECK(names[1].at("args").at("name") == "worker 1");
  CHECK(names[1].at("name") == "thread_name");
}

TEST_CASE("pieces of one loop become one span that counts them, another loop begins a new one") {
  Trace trace(1);
  const int name = trace.Name("o");
  trace.AddPiece(0, name, 7, 100, 200);
  trace.AddPiece(0, name, 7, 210, 300);
  trace.AddPiece(0, name, 8, 400, 500);
  trace.Add(0, name, 100, 600);
  const TraceFile file(trace);
  const std::vector<Json> spans = file.Spans();
  REQUIRE(spans.size() == 3);
  CHECK(spans[0].at("dur") == 0.2);
  CHECK(spans[0].at("args").at("items") == 2);
  CHECK(spans[1].at("args").at("items") == 1);
  CHECK_FALSE(spans[2].contains("args"));
}

TEST_CASE("a full track drops what comes later and says how much") {
  Trace trace(2, /*events_per_track=*/3);
  const int name = trace.Name("op");
  for (int i = 0; i < 5; ++i) trace.Add(0, name, i, i + 1);
  trace.Add(1, name, 0, 1);
  CHECK(trace.events() == 4);
  CHECK(trace.dropped() == 2);
  CHECK(TraceFile(trace).json().at("otherData").at("dropped_events") == 2);
}

TEST_CASE("an empty trace is still a file that viewers open") {
  const Trace trace(1);
  CHECK(TraceFile(trace).Spans().empty());
}

TEST_CASE("a trace that cannot be written names the file") {
  const absl::Status status = Trace(1).Write("/nonexistent/folder/trace.json");
  CHECK_FALSE(status.ok());
  CHECK(std::string(status.message()).find("/nonexistent/folder/trace.json") != std::string::npos);
}
