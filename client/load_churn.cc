#include "client/load_churn.h"

#include <chrono>

#include "client/error_text.h"
#include "guildhall/v1/admin.grpc.pb.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kUnloadWaitSeconds = 30;

grpc::Status LoadOnce(v1::Admin::Stub& stub, const Connection& admin, const std::string& name,
                      const std::string& path) {
  grpc::ClientContext context;
  PrepareContext(admin, context);
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  auto reader = stub.LoadAdapter(&context, request);
  v1::LoadAdapterResponse response;
  while (reader->Read(&response)) {
  }
  return reader->Finish();
}

grpc::Status UnloadOnce(v1::Admin::Stub& stub, const Connection& admin, const std::string& name) {
  grpc::ClientContext context;
  PrepareContext(admin, context);
  v1::UnloadAdapterRequest request;
  request.set_name(name);
  request.mutable_wait()->set_seconds(kUnloadWaitSeconds);
  v1::UnloadAdapterResponse response;
  return stub.UnloadAdapter(&context, request, &response);
}

// Runs `call`, keeps its time or its error; false: it failed.
template <typename Call>
bool Timed(const Connection& admin, Call call, std::vector<double>& times, ChurnReport& report) {
  const Clock::time_point begin = Clock::now();
  const grpc::Status status = call();
  if (status.ok()) {
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    return true;
  }
  if (report.failures++ == 0) report.first_error = ErrorText(status, admin.server);
  return false;
}

}  // namespace

LoadChurn::LoadChurn(Connection admin, std::string name, std::string path)
    : admin_(std::move(admin)), name_(std::move(name)), path_(std::move(path)) {
  thread_ = std::thread([this] { Run(); });
}

LoadChurn::~LoadChurn() {
  Stop();
}

const ChurnReport& LoadChurn::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  return report_;
}

void LoadChurn::Run() {
  const auto stub = v1::Admin::NewStub(OpenChannel(admin_));
  // Once at least, so that a run that is too short for it says so by its one load.
  do {
    const auto load = [&] { return LoadOnce(*stub, admin_, name_, path_); };
    const auto unload = [&] { return UnloadOnce(*stub, admin_, name_); };
    if (!Timed(admin_, load, report_.load_ms, report_)) return;
    if (!Timed(admin_, unload, report_.unload_ms, report_)) return;
  } while (!stop_);
}

}  // namespace guildhall
