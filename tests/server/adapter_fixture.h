// A whole server over a tiny base model with the adapters of tests/goldens_adapters, on real sockets.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/base_model.h"
#include "tests/server/fixture.h"
#include "tests/support/temp_folder.h"
#include "weights/weight_manager.h"

namespace guildhall {

// Holds up the reads of adapters' tensors while it is closed.
class Gate {
 public:
  void Close();
  void Open();
  // Waits while the gate is closed, 250 ms at most: a load that was told to end gets to know.
  void Pass();
  // Waits until somebody has come to the closed gate.
  void AwaitVisitor();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  int visitors_ = 0;
};

// The goldens "e" (ESFT), "a" and "b" (LoRA) of mixed_olmoe, copied into a root of their own.
struct AdapterWorld {
  AdapterWorld();
  TempFolder folder;
  std::string root;  // root/e, root/a, root/b
};

ServerConfig AdapterConfigFor(const AdapterWorld& world);

class AdapterServer {
 public:
  // KV cache and adapters share 64 MiB; or the adapters alone have `adapter_bytes`.
  // The base has the text side `text`.
  explicit AdapterServer(const ServerConfig& config, uint64_t adapter_bytes = 0, TextAssets text = {});
  ~AdapterServer();

  std::shared_ptr<grpc::Channel> Channel() const;
  std::unique_ptr<v1::Inference::Stub> Inference() const { return v1::Inference::NewStub(Channel()); }
  std::unique_ptr<v1::Admin::Stub> Admin() const;
  Server& server() { return *server_; }
  WeightManager& weights() { return *weights_; }
  Gate& gate() { return gate_; }

  // The calls; the status is checked where the answer is wanted.
  grpc::Status Load(const v1::LoadAdapterRequest& request, v1::AdapterInfo* loaded = nullptr,
                    std::vector<v1::LoadAdapterResponse::Progress>* progress = nullptr) const;
  grpc::Status Load(const std::string& name, const std::string& path) const;
  uint64_t LoadVersion(const std::string& name, const std::string& path) const;  // must succeed
  grpc::Status Unload(const std::string& name, v1::UnloadAdapterResponse* response = nullptr) const;
  grpc::Status Put(const v1::TaskDefinition& task) const;
  grpc::Status Put(const std::string& id, const std::vector<std::pair<std::string, float>>& adapters) const;
  grpc::Status Delete(const std::string& id) const;
  v1::ListAdaptersResponse List() const;
  // The entry of the list; fails the test where there is none.
  v1::AdapterInfo Info(const std::string& name) const;

 private:
  Gate gate_;
  BaseModel base_;
  std::unique_ptr<WeightManager> weights_;
  std::unique_ptr<Server> server_;
};

// Log-probabilities of the prompt `tokens` for `task`: what the served weights say, without sampling.
v1::GenerateRequest ScoreRequest(const std::string& task, const std::vector<int32_t>& tokens);

// What Deploy says to `config` over the tiny base; OK: it could start.
absl::Status StartStatus(const ServerConfig& config, TextAssets text = {});

}  // namespace guildhall
