// guildhall serve: the server.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/address_space.h"
#include "base/log.h"
#include "base/status.h"
#include "commands/commands.h"
#include "commands/progress.h"
#include "config/environment.h"
#include "config/loader.h"
#include "server/grpc/grpc_listeners.h"
#include "server/http/http_listeners.h"
#include "server/net/descriptor_limit.h"
#include "server/serve.h"
#include "server/serve_plan.h"

namespace guildhall {
namespace {

struct ServeFlags {
  std::vector<std::string> files, settings;
  std::string model, device, device_products, listen, http, admin_listen, trace;
  bool check_config = false;
};

ConfigSources SourcesOf(const ServeFlags& flags) {
  ConfigSources sources;
  sources.files = flags.files;
  sources.environment = ProcessEnvironment();
  auto set = [&](const std::string& key, const std::string& value, const std::string& origin) {
    if (!value.empty()) sources.overrides.push_back({key, value, origin});
  };
  set("model.path", flags.model, "--model");
  set("device", flags.device, "--device");
  set("device_products", flags.device_products, "--device-products");
  set("server.listen", flags.listen, "--listen");
  set("http.listen", flags.http, "--http");
  set("admin.listen", flags.admin_listen, "--admin-listen");
  set("engine.trace", flags.trace, "--trace");
  for (const std::string& setting : flags.settings) {
    const size_t equals = setting.find('=');
    sources.overrides.push_back({setting.substr(0, equals), setting.substr(equals + 1), "--set"});
  }
  return sources;
}

absl::Status ServeWith(const ServeFlags& flags) {
  GH_ASSIGN_OR_RETURN(const LoadedConfig loaded, LoadConfig(SourcesOf(flags)));
  if (flags.check_config) {
    std::printf("%s", EffectiveConfigText(loaded).c_str());
    std::vector<std::string> unchecked, notes;
    GH_RETURN_IF_ERROR(CheckServe(loaded.config, unchecked, notes));
    for (const std::string& line : notes) std::fprintf(stderr, "note: %s\n", line.c_str());
    for (const std::string& line : unchecked) std::fprintf(stderr, "not checked: %s\n", line.c_str());
    return absl::OkStatus();
  }
  const LogConfig& log = loaded.config.log;
  GH_RETURN_IF_ERROR(SetUpLog(log.level, log.format == "json" ? LogFormat::kJson : LogFormat::kText));
  Log().info("{}", RaiseDescriptorLimit());
  LoadProgress progress("loading " + loaded.config.model.path);
  std::vector<StartListener> listeners = GrpcListeners();
  for (StartListener& listener : HttpListeners()) listeners.push_back(std::move(listener));
  return Serve(loaded.config, listeners, [&](size_t done, size_t all) { progress.Update(done, all); });
}

int RunServe(const ServeFlags& flags) {
  const absl::Status status = ServeWith(flags);
  if (status.ok()) return 0;
  const std::string message(status.message());
  const bool said = flags.check_config || SaysAddressSpace(status);
  const std::string note = said ? "" : AddressSpaceNote(ReadAddressSpace());
  std::fprintf(stderr, "guildhall serve: %s%s\n", message.c_str(), note.c_str());
  return 1;
}

}  // namespace

void AddServeCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("serve", "serve a model folder and its tasks over gRPC and HTTP");
  auto flags = std::make_shared<ServeFlags>();
  command
      ->add_option("-c,--config", flags->files,
                   "configuration file, JSON with comments (may be repeated; later beats earlier)")
      ->envname("GUILDHALL_CONFIG");
  command->add_option("-m,--model", flags->model, "model folder (model.path)");
  command->add_option("--device", flags->device, "auto, cpu, cuda or cuda:1 (device)");
  command->add_option("--device-products", flags->device_products, "exact or library (device_products)");
  command->add_option("-l,--listen", flags->listen, "HOST:PORT or unix:PATH for requests (server.listen)");
  command
      ->add_option("--http", flags->http,
                   "the same over HTTP, as OpenAI's clients speak it (http.listen); without a value "
                   "127.0.0.1:8000")
      ->expected(0, 1)
      ->default_str("127.0.0.1:8000");
  command->add_option("--admin-listen", flags->admin_listen, "the same for administration (admin.listen)");
  command
      ->add_option("--set", flags->settings, "KEY=VALUE for any key of the configuration (may be repeated)")
      ->check([](const std::string& text) {
        return text.find('=') == std::string::npos ? "expected KEY=VALUE, found " + text : std::string();
      });
  command->add_option("--trace", flags->trace,
                      "write a timeline of the first steps at the end, for ui.perfetto.dev (engine.trace)");
  command->add_flag("--check-config", flags->check_config,
                    "print every value with its origin, say what is wrong and what only the serving machine "
                    "can tell, and end");
  command->footer("Every key is also an environment variable: server.listen is GUILDHALL_SERVER_LISTEN.");
  command->callback([flags, &action] { action = [flags] { return RunServe(*flags); }; });
}

}  // namespace guildhall
