#include "server/http/health_routes.h"

#include <memory>

#include "base/json.h"
#include "server/guarded.h"
#include "server/version.h"

namespace guildhall {
namespace {

HttpRoute Health(std::string path, const std::atomic<bool>& well) {
  const auto answer = [&well](const std::shared_ptr<HttpCall>& call) {
    (void)Guarded([&] {
      call->Respond(well ? 200 : 503, "text/plain; charset=utf-8", well ? "ok\n" : "not ready\n");
      return absl::OkStatus();
    });
  };
  return {"GET", std::move(path), CallKind::kHealth, answer};
}

}  // namespace

std::vector<HttpRoute> HealthRoutes(const HttpHealth& health) {
  const auto version = [](const std::shared_ptr<HttpCall>& call) {
    (void)Guarded([&] {
      call->Respond(200, "application/json", DumpJson(Json{{"version", Version()}}));
      return absl::OkStatus();
    });
  };
  return {Health("/health", health.ready), Health("/ping", health.ready), Health("/readyz", health.ready),
          Health("/livez", health.live), HttpRoute{"GET", "/version", CallKind::kHealth, version}};
}

}  // namespace guildhall
