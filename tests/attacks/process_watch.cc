#include "tests/attacks/process_watch.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace guildhall::attacks {
namespace {

constexpr auto kSampleEach = std::chrono::milliseconds(10);
constexpr auto kHealthPatience = std::chrono::seconds(10);
constexpr auto kAskEach = std::chrono::milliseconds(100);

void Raise(std::atomic<int64_t>& greatest, int64_t value) {
  if (value > greatest) greatest = value;
}

}  // namespace

std::optional<ProcessFigures> ReadProcess(pid_t pid) {
  const std::string folder = StrCat("/proc/", pid);
  ProcessFigures figures;
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    words >> name >> value;
    if (name == "VmRSS:") figures.resident_bytes = value * 1024;
    if (name == "Threads:") figures.threads = value;
  }
  if (figures.threads == 0) return std::nullopt;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder + "/fd", error), end; !error && at != end;
       at.increment(error))
    ++figures.descriptors;
  std::ifstream stat(folder + "/stat");
  std::string text{std::istreambuf_iterator<char>(stat), {}};
  std::istringstream words(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) words >> skipped;  // state .. cmajflt
  double user = 0.0, system = 0.0;
  words >> user >> system;
  figures.cpu_seconds = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return figures;
}

ProcessWatch::ProcessWatch(pid_t pid, const std::string& address)
    : pid_(pid), sampler_([this] { Sample(); }), asker_([this, address] { AskHealth(address); }) {}

ProcessWatch::~ProcessWatch() {
  stop_ = true;
}

ProcessFigures ProcessWatch::peak() const {
  return {resident_bytes_, threads_, descriptors_, 0.0};
}

void ProcessWatch::Sample() {
  for (; pid_ > 0 && !stop_; std::this_thread::sleep_for(kSampleEach)) {
    const auto figures = ReadProcess(pid_);
    if (!figures.has_value()) return;
    Raise(resident_bytes_, figures->resident_bytes);
    Raise(threads_, figures->threads);
    Raise(descriptors_, figures->descriptors);
  }
}

void ProcessWatch::AskHealth(const std::string& address) {
  using grpc::health::v1::HealthCheckResponse;
  const auto stub =
      grpc::health::v1::Health::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("readiness");
  for (; !stop_; std::this_thread::sleep_for(kAskEach)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kHealthPatience);
    HealthCheckResponse response;
    const bool answered = stub->Check(&context, request, &response).ok();
    ++health_checks_;
    if (!answered || response.status() != HealthCheckResponse::SERVING) ++unhealthy_;
  }
}

}  // namespace guildhall::attacks
