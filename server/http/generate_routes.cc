#include "server/http/generate_routes.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/memory_account.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/guarded.h"
#include "server/http/generate_answer.h"
#include "server/http/json_values.h"
#include "server/http/read_request.h"

namespace guildhall {
namespace {

constexpr size_t kMaxNamed = 16;  // ignored fields in a header
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxLogged = 256;  // names that are logged at all

// Each name once, however often clients send it. Thread-safe.
class IgnoredLog {
 public:
  void Note(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (seen_.size() >= kMaxLogged || !seen_.insert(name).second) return;
    Log().info("requests bring the field {}, which changes no answer and is ignored", name);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> seen_;
};

// Fit for a header and a log: others are somebody's play.
bool ServesAsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

void NameIgnored(const std::vector<std::string>& ignored, IgnoredLog& log, HttpCall& call) {
  std::string names;
  size_t named = 0;
  for (const std::string& name : ignored) {
    if (!ServesAsName(name) || named++ >= kMaxNamed) continue;
    StrAppend(&names, names.empty() ? "" : ", ", name);
    log.Note(name);
  }
  if (!names.empty()) call.AddHeader("x-guildhall-ignored", names);
}

absl::StatusOr<ApiRequest> Read(ApiKind kind, const Deployment& deployment, const HttpConfig& http,
                                const std::string& body) {
  MemoryCharge charge(*deployment.request_memory);
  GH_RETURN_IF_ERROR(charge.Add(TreeBytes(body)));
  GH_ASSIGN_OR_RETURN(const Json json, ParseBody(body));
  return ReadApiRequest(kind, json, deployment, http);
}

}  // namespace

std::vector<HttpRoute> GenerateRoutes(const ServerState& state, GenerateCalls& generate, CallThreads& threads,
                                      const HttpConfig& http) {
  const auto log = std::make_shared<IgnoredLog>();
  const auto route = [&, log](std::string path, ApiKind kind) {
    const auto answer = [&state, &generate, &threads, http, log,
                         kind](const std::shared_ptr<HttpCall>& call) {
      const absl::Status begun = Guarded([&]() -> absl::Status {
        GH_ASSIGN_OR_RETURN(auto deployment, state.ForRequest());
        GH_ASSIGN_OR_RETURN(ApiRequest request, Read(kind, *deployment, http, call->TakeBody()));
        NameIgnored(request.ignored, *log, *call);
        const GenerateAnswer::Room room{generate, threads, absl::Seconds(http.comment_interval_s)};
        std::make_shared<GenerateAnswer>(call, std::move(request), std::move(deployment), room)->Begin();
        return absl::OkStatus();
      });
      if (!begun.ok()) call->RespondError(begun);
    };
    return HttpRoute{"POST", std::move(path), CallKind::kGenerate, answer};
  };
  return {route("/v1/completions", ApiKind::kCompletions), route("/v1/chat/completions", ApiKind::kChat)};
}

}  // namespace guildhall
