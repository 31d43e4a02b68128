#include "tests/server/adapter_fixture.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <utility>

#include "absl/time/clock.h"
#include "adapters/adapter_folder.h"
#include "base/check.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPageBytes = 4096;
const fs::path kGoldens = GUILDHALL_SOURCE_DIR "/tests/goldens_adapters/mixed_olmoe";
const char kBase[] = GUILDHALL_SOURCE_DIR "/tests/goldens/olmoe_f32";

// Passes the gate before every tensor.
class GatedSource final : public AdapterSource {
 public:
  GatedSource(std::unique_ptr<AdapterSource> source, Gate& gate) : source_(std::move(source)), gate_(gate) {}

  const AdapterManifest& manifest() const override { return source_->manifest(); }
  absl::StatusOr<TensorView> ReadReplaced(const WeightKey& key, Scratch& scratch) const override {
    gate_.Pass();
    return source_->ReadReplaced(key, scratch);
  }
  absl::StatusOr<LowRankTensors> ReadLowRank(const LowRankChange& change, Scratch& a,
                                             Scratch& b) const override {
    gate_.Pass();
    return source_->ReadLowRank(change, a, b);
  }
  absl::Status CheckUnchanged() const override { return source_->CheckUnchanged(); }

 private:
  std::unique_ptr<AdapterSource> source_;
  Gate& gate_;
};

BaseModel LoadBase() {
  BaseModelOptions options;
  options.path = kBase;
  options.backend = DefaultTestBackend().options;
  options.backend.page_bytes = kPageBytes;
  options.kv_budget = "64MiB";
  options.max_rows = 64;
  options.max_sequences = 8;
  auto base = LoadBaseModel(options);
  INFO(base.status().ToString());
  REQUIRE(base.ok());
  return *std::move(base);
}

std::unique_ptr<WeightManager> MakeWeights(const BaseModel& base, std::shared_ptr<ByteBudget> budget,
                                           const ServerConfig& config) {
  WeightManagerOptions options;
  options.max_rows = 64;
  options.shut_off_after = config.adapters.shut_off_after;
  return std::make_unique<WeightManager>(base.decoder->spec(), *base.backend, base.decoder->base_experts(),
                                         std::move(budget), base.decoder->workspace(), options);
}

DeployedModel DeployedOf(const BaseModel& base, WeightManager& weights, Gate& gate) {
  DeployedModel deployed;
  deployed.model = base.decoder.get();
  deployed.weights = &weights;
  if (&weights.budget() == base.budget.get()) {
    deployed.share_budget = [&base](EngineOptions& options) { ShareBudget(base, options); };
  }
  deployed.open_folder =
      [&base, &gate](const std::string& directory,
                     const AdapterFolderOptions& options) -> absl::StatusOr<std::unique_ptr<AdapterSource>> {
    auto source = OpenAdapterFolder(directory, *base.checkpoint, options);
    if (!source.ok()) return source;
    return std::make_unique<GatedSource>(*std::move(source), gate);
  };
  return deployed;
}

}  // namespace

void Gate::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  visitors_ = 0;
}

void Gate::Open() {
  const std::lock_guard lock(mutex_);
  closed_ = false;
  changed_.notify_all();
}

void Gate::Pass() {
  std::unique_lock lock(mutex_);
  if (!closed_) return;
  ++visitors_;
  changed_.notify_all();
  changed_.wait_for(lock, std::chrono::milliseconds(250), [this] { return !closed_; });
}

void Gate::AwaitVisitor() {
  std::unique_lock lock(mutex_);
  GH_CHECK(changed_.wait_for(lock, std::chrono::seconds(20), [this] { return visitors_ > 0; }));
}

AdapterWorld::AdapterWorld() : root(folder / "root") {
  fs::create_directory(root);
  for (const char* name : {"e", "a", "b"}) {
    fs::copy(kGoldens / ("adapter_" + std::string(name)), fs::path(root) / name);
  }
}

ServerConfig AdapterConfigFor(const AdapterWorld& world) {
  ServerConfig config;
  config.server.listen = "127.0.0.1:0";
  config.admin.listen = "127.0.0.1:0";
  config.sampling.temperature = 0.0;
  config.engine.max_running = 8;
  config.engine.token_budget = 64;
  config.engine.prefill_chunk = 32;
  config.adapters.roots = {world.root};
  return config;
}

AdapterServer::AdapterServer(const ServerConfig& config, uint64_t adapter_bytes, TextAssets text)
    : base_(LoadBase()),
      weights_(MakeWeights(
          base_, adapter_bytes == 0 ? base_.budget : std::make_shared<ByteBudget>(adapter_bytes), config)) {
  auto server = StartServer(config);
  INFO(server.status().ToString());
  REQUIRE(server.ok());
  server_ = *std::move(server);
  auto deployment = Deploy(config, std::move(text), DeployedOf(base_, *weights_, gate_));
  INFO(deployment.status().ToString());
  REQUIRE(deployment.ok());
  server_->Publish(*std::move(deployment));
}

AdapterServer::~AdapterServer() {
  gate_.Open();
  server_.reset();
}

std::shared_ptr<grpc::Channel> AdapterServer::Channel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(InferenceTarget(*server_), grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::Admin::Stub> AdapterServer::Admin() const {
  return v1::Admin::NewStub(grpc::CreateChannel(AdminTarget(*server_), grpc::InsecureChannelCredentials()));
}

grpc::Status AdapterServer::Load(const v1::LoadAdapterRequest& request, v1::AdapterInfo* loaded,
                                 std::vector<v1::LoadAdapterResponse::Progress>* progress) const {
  auto stub = Admin();
  grpc::ClientContext context;
  auto reader = stub->LoadAdapter(&context, request);
  v1::LoadAdapterResponse response;
  while (reader->Read(&response)) {
    if (response.has_loaded() && loaded != nullptr) *loaded = response.loaded();
    if (response.has_progress() && progress != nullptr) progress->push_back(response.progress());
  }
  return reader->Finish();
}

grpc::Status AdapterServer::Load(const std::string& name, const std::string& path) const {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  return Load(request);
}

uint64_t AdapterServer::LoadVersion(const std::string& name, const std::string& path) const {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  v1::AdapterInfo loaded;
  const grpc::Status status = Load(request, &loaded);
  INFO(status.error_message());
  REQUIRE(status.ok());
  return loaded.version();
}

grpc::Status AdapterServer::Unload(const std::string& name, v1::UnloadAdapterResponse* response) const {
  grpc::ClientContext context;
  v1::UnloadAdapterRequest request;
  request.set_name(name);
  v1::UnloadAdapterResponse ignored;
  return Admin()->UnloadAdapter(&context, request, response == nullptr ? &ignored : response);
}

grpc::Status AdapterServer::Put(const v1::TaskDefinition& task) const {
  grpc::ClientContext context;
  v1::PutTaskRequest request;
  *request.mutable_task() = task;
  v1::PutTaskResponse response;
  return Admin()->PutTask(&context, request, &response);
}

grpc::Status AdapterServer::Put(const std::string& id,
                                const std::vector<std::pair<std::string, float>>& adapters) const {
  v1::TaskDefinition task;
  task.set_id(id);
  for (const auto& [name, scale] : adapters) {
    task.add_adapters()->set_name(name);
    task.mutable_adapters()->rbegin()->set_scale(scale);
  }
  return Put(task);
}

grpc::Status AdapterServer::Delete(const std::string& id) const {
  grpc::ClientContext context;
  v1::DeleteTaskRequest request;
  request.set_id(id);
  v1::DeleteTaskResponse response;
  return Admin()->DeleteTask(&context, request, &response);
}

v1::ListAdaptersResponse AdapterServer::List() const {
  grpc::ClientContext context;
  v1::ListAdaptersResponse response;
  const grpc::Status status = Admin()->ListAdapters(&context, {}, &response);
  INFO(status.error_message());
  REQUIRE(status.ok());
  return response;
}

v1::AdapterInfo AdapterServer::Info(const std::string& name) const {
  const v1::ListAdaptersResponse list = List();
  for (const v1::AdapterInfo& adapter : list.adapters()) {
    if (adapter.name() == name) return adapter;
  }
  FAIL("there is no adapter " << name << " in " << list.DebugString());
  return {};
}

v1::GenerateRequest ScoreRequest(const std::string& task, const std::vector<int32_t>& tokens) {
  v1::GenerateRequest request;
  request.set_task(task);
  request.mutable_token_ids()->mutable_ids()->Add(tokens.begin(), tokens.end());
  request.mutable_sampling()->set_max_tokens(0);
  request.mutable_logprobs()->set_prompt(true);
  return request;
}

absl::Status StartStatus(const ServerConfig& config, TextAssets text) {
  Gate gate;
  const BaseModel base = LoadBase();
  const auto weights = MakeWeights(base, base.budget, config);
  return Deploy(config, std::move(text), DeployedOf(base, *weights, gate)).status();
}

}  // namespace guildhall
