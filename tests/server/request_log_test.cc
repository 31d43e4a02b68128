#include "server/request_log.h"

#include <catch2/catch.hpp>

namespace guildhall {

TEST_CASE("the log line quotes what a client wrote and has no prompt unless it is given one") {
  RequestLogLine line;
  line.id = 7;
  line.task = "a\nb";
  line.peer = "ipv4:127.0.0.1:9";
  line.status = absl::NotFoundError("there is no task");
  const std::string refused = RequestLogText(line);
  CHECK_THAT(refused, Catch::Contains("request 7 task=\"a\\nb\" status=NOT_FOUND"));
  CHECK_THAT(refused, Catch::Contains("error=\"there is no task\"") && !Catch::Contains("\n"));
  line.status = absl::OkStatus();
  line.prompt_tokens = 12;
  line.summary.emplace();
  line.summary->reason = v1::FINISH_REASON_STOP;
  line.summary->usage.output_tokens = 34;
  CHECK_THAT(RequestLogText(line), Catch::Contains("status=OK finish=stop prompt=12 cached=0 output=34"));
  CHECK_THAT(RequestLogText(line), !Catch::Contains("prompt_text"));
  line.prompt = "secret";
  CHECK_THAT(RequestLogText(line), Catch::Contains("prompt_text=\"secret\""));
}

}  // namespace guildhall
