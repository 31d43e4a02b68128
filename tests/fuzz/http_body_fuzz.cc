// Whatever the body of a request over HTTP: an error in the terms of its fields, or requests of the protocol.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/check.h"
#include "google/rpc/error_details.pb.h"
#include "server/error_details.h"
#include "server/http/choice.h"
#include "server/http/error_answer.h"
#include "server/http/json_values.h"
#include "server/http/read_request.h"

namespace guildhall {
namespace {

constexpr int64_t kVocabulary = 2048;

const Deployment& TestDeployment() {
  static const auto* const deployment = [] {
    auto* const made = new Deployment();
    auto tasks = TaskRegistry::Build(ServerConfig(), TextAssets(), PartialSampling());
    GH_CHECK(tasks.ok());
    made->tasks = *std::move(tasks);
    made->limits = MakeServedLimits({}, kVocabulary, /*max_positions=*/1000, /*kv_cache_tokens=*/100'000);
    return made;
  }();
  return *deployment;
}

// The names of the protocol's own fields reach no client.
void CheckError(const absl::Status& status) {
  const ErrorAnswer answer = MakeErrorAnswer(status);
  GH_CHECK(answer.status >= 400 && answer.status <= 404);
  const auto body = ParseJson(answer.body, "error");
  GH_CHECK(body.ok());
  const Json& param = (*body)["error"]["param"];
  if (!param.is_string()) return;
  const std::string name = param.get<std::string>();
  for (const std::string_view own : {"sampling.", "chat.", "token_ids.", "content_json", "arguments_json"}) {
    GH_CHECK(name.find(own) == std::string::npos);
  }
}

void CheckRequest(const ApiRequest& request) {
  static const auto task = std::make_shared<const Task>();
  GH_CHECK(request.choices() >= 1 && request.choices() <= 128);
  for (size_t i = 0; i < request.choices(); i += static_cast<size_t>(request.n)) {
    const Choice choice(request, i);
    const auto validated = ValidateGenerate(choice.Request(), task, TestDeployment().limits, 1);
    if (!validated.ok()) CheckError(InTermsOf(choice.prompt().names, validated.status()));
  }
}

}  // namespace
}  // namespace guildhall

// The first byte chooses the endpoint.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace guildhall;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto json = ParseBody(body);
  if (!json.ok()) {
    CheckError(json.status());
    return 0;
  }
  const ApiKind kind = data[0] % 2 == 0 ? ApiKind::kChat : ApiKind::kCompletions;
  const auto request = ReadApiRequest(kind, *json, TestDeployment(), HttpConfig());
  if (request.ok()) {
    CheckRequest(*request);
  } else {
    CheckError(request.status());
  }
  return 0;
}
