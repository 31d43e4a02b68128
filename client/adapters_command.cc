// guildhall adapters load|unload|list|pin: the weights that a server has beside its base model.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "base/format_bytes.h"
#include "client/adapter_text.h"
#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "client/table.h"
#include "guildhall/v1/admin.grpc.pb.h"

namespace guildhall {
namespace {

struct AdapterFlags {
  Connection connection;
  std::string name, path, expert_config;
  std::optional<uint64_t> expected_version;
  std::optional<double> wait_s;
  bool pin = false, off = false, json = false;
};

int Failed(const char* what, const grpc::Status& status, const Connection& connection) {
  std::fprintf(stderr, "guildhall adapters %s: %s\n", what, ErrorText(status, connection.server).c_str());
  return ErrorExitCode(status);
}

// How far a load is: redrawn in place on a terminal, else one line per five seconds.
class ProgressLine {
 public:
  explicit ProgressLine(std::string name) : name_(std::move(name)) {}
  ~ProgressLine() {
    if (printed_ && terminal_) std::fprintf(stderr, "\n");
  }

  void Update(const v1::LoadAdapterResponse::Progress& progress) {
    const auto now = Clock::now();
    if (progress.total_bytes() == 0 || (!terminal_ && now - last_ < std::chrono::seconds(5))) return;
    last_ = now;
    printed_ = true;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double done = static_cast<double>(progress.done_bytes());
    std::fprintf(stderr, "%sloading %s: %s of %s (%.0f %%, %.0f MB/s)%s", terminal_ ? "\r\033[K" : "",
                 name_.c_str(), FormatBytes(progress.done_bytes()).c_str(),
                 FormatBytes(progress.total_bytes()).c_str(),
                 100.0 * done / static_cast<double>(progress.total_bytes()),
                 done * 1e-6 / std::max(seconds, 1e-3), terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  using Clock = std::chrono::steady_clock;
  const std::string name_;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  bool printed_ = false;
};

void PrintLoaded(const v1::AdapterInfo& adapter) {
  std::printf("%s: %s, version %llu, %s in %.1f s; %lld layers, %lld experts, %lld low-rank modules%s\n",
              adapter.name().c_str(), adapter.kind().c_str(),
              static_cast<unsigned long long>(adapter.version()), FormatBytes(adapter.tensor_bytes()).c_str(),
              adapter.load_seconds(), static_cast<long long>(adapter.layers()),
              static_cast<long long>(adapter.experts()), static_cast<long long>(adapter.low_rank_modules()),
              adapter.pinned() ? "; pinned" : "");
  for (const std::string& note : adapter.notes()) std::printf("note: %s\n", note.c_str());
}

int Load(const AdapterFlags& flags) {
  auto stub = v1::Admin::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  v1::LoadAdapterRequest request;
  request.set_name(flags.name);
  request.set_path(flags.path);
  request.set_pin(flags.pin);
  request.set_expert_config(flags.expert_config);
  if (flags.expected_version) request.set_expected_version(*flags.expected_version);
  auto reader = stub->LoadAdapter(&context, request);
  v1::LoadAdapterResponse response;
  v1::AdapterInfo loaded;
  {
    ProgressLine line(flags.name);
    while (reader->Read(&response)) {
      if (response.has_progress()) line.Update(response.progress());
      if (response.has_loaded()) loaded = response.loaded();
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Failed("load", status, flags.connection);
  if (flags.json) return PrintJson(loaded) ? 0 : 3;
  PrintLoaded(loaded);
  return 0;
}

int Unload(const AdapterFlags& flags) {
  auto stub = v1::Admin::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  v1::UnloadAdapterRequest request;
  request.set_name(flags.name);
  if (flags.expected_version) request.set_expected_version(*flags.expected_version);
  if (flags.wait_s) {
    const double whole = std::floor(*flags.wait_s);
    request.mutable_wait()->set_seconds(static_cast<int64_t>(whole));
    request.mutable_wait()->set_nanos(static_cast<int32_t>((*flags.wait_s - whole) * 1e9));
  }
  v1::UnloadAdapterResponse response;
  const grpc::Status status = stub->UnloadAdapter(&context, request, &response);
  if (!status.ok()) return Failed("unload", status, flags.connection);
  if (flags.json) return PrintJson(response) ? 0 : 3;
  std::printf("%s: version %llu is unloaded, %s are free again\n", flags.name.c_str(),
              static_cast<unsigned long long>(response.version()),
              FormatBytes(response.freed_bytes()).c_str());
  return 0;
}

int List(const AdapterFlags& flags) {
  auto stub = v1::Admin::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  v1::ListAdaptersResponse response;
  const grpc::Status status = stub->ListAdapters(&context, {}, &response);
  if (!status.ok()) return Failed("list", status, flags.connection);
  if (flags.json) return PrintJson(response) ? 0 : 3;
  std::printf("%s", AdapterTable(response.adapters()).c_str());
  if (response.has_budget()) std::printf("%s", BudgetText(response.budget()).c_str());
  return 0;
}

int Pin(const AdapterFlags& flags) {
  auto stub = v1::Admin::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  v1::PinAdapterRequest request;
  request.set_name(flags.name);
  request.set_pinned(!flags.off);
  v1::PinAdapterResponse response;
  const grpc::Status status = stub->PinAdapter(&context, request, &response);
  if (!status.ok()) return Failed("pin", status, flags.connection);
  if (flags.json) return PrintJson(response.adapter()) ? 0 : 3;
  std::printf("%s: version %llu is %s\n", flags.name.c_str(),
              static_cast<unsigned long long>(response.adapter().version()),
              response.adapter().pinned() ? "pinned" : "not pinned any more");
  return 0;
}

// One subcommand with the flags that all have; `run` becomes the action.
CLI::App* Add(CLI::App& parent, const char* name, const char* help,
              const std::shared_ptr<AdapterFlags>& flags, int (*run)(const AdapterFlags&), Action& action) {
  CLI::App* command = parent.add_subcommand(name, help);
  AddAdminFlags(*command, flags->connection);
  command->add_flag("--json", flags->json, "print the answer as JSON");
  command->callback([flags, run, &action] { action = [flags, run] { return run(*flags); }; });
  return command;
}

void AddVersionFlag(CLI::App& command, AdapterFlags& flags, const char* help) {
  command.add_option("--expected-version", flags.expected_version, help);
}

}  // namespace

void AddAdaptersCommand(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("adapters", "the adapters of a running server, and tools for them");
  parent->require_subcommand(1);
  auto flags = std::make_shared<AdapterFlags>();

  CLI::App* load =
      Add(*parent, "load", "load an adapter folder under a name, or replace a version", flags, Load, action);
  load->add_option("name", flags->name, "letters, digits, '.', '_' and '-'")->required();
  load->add_option("path", flags->path, "relative to one of the server's adapters.roots")
      ->required()
      ->transform([](std::string path) {
        while (path.size() > 1 && path.back() == '/') path.pop_back();  // as shells complete it
        return path;
      });
  load->add_flag("--pin", flags->pin, "never evict it");
  AddVersionFlag(*load, *flags, "replace this version and no other; without it the name must be free");
  load->add_option("--expert-config", flags->expert_config,
                   "expert_cfg.json for an ESFT folder that has none, relative to the roots");
  load->footer(
      "  guildhall adapters load math esft/gate-math --pin\n"
      "  guildhall adapters load math esft/gate-math-2 --expected-version 3");

  CLI::App* unload =
      Add(*parent, "unload", "wait for an adapter's requests and free its memory", flags, Unload, action);
  unload->add_option("name", flags->name, "the adapter")->required();
  AddVersionFlag(*unload, *flags, "only if this is the version that is loaded");
  unload->add_option("--wait", flags->wait_s, "seconds to wait for its requests")
      ->check(CLI::Range(0.0, 86400.0));
  unload->footer("  guildhall adapters unload math --wait 5");

  CLI::App* list = Add(*parent, "list", "what is loaded, where, and who uses it", flags, List, action);
  list->footer("  guildhall adapters list\n  guildhall adapters list --json | jq '.adapters[].name'");

  CLI::App* pin = Add(*parent, "pin", "keep an adapter in memory", flags, Pin, action);
  pin->add_option("name", flags->name, "the adapter")->required();
  pin->add_flag("--off", flags->off, "take the pin away");
  pin->footer("  guildhall adapters pin math\n  guildhall adapters pin math --off");
}

}  // namespace guildhall
