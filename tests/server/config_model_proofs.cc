// The keys of the model, its weights, the memory, the machine and the adapters.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "server/serve_plan.h"
#include "tests/server/config_proofs.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

const std::string kModel = GUILDHALL_SOURCE_DIR "/tests/goldens/olmoe_f32";

// What PlanServe makes of a model whose folder has `text` as `file`, without the change and with it.
void Planned(Proofs& proofs, const std::string& key, const std::string& file, const std::string& text,
             const Proofs::Change& set) {
  proofs.Add(key, std::function<bool()>([=] {
               const TempFolder folder;
               ServerConfig config;
               config.model.path = folder / "model";
               fs::copy(kModel, config.model.path);
               if (!file.empty()) std::ofstream(config.model.path + "/" + file) << text;
               const auto seen = [&] {
                 const auto plan = PlanServe(config);
                 if (!plan.ok()) return std::string(plan.status().message());
                 std::string ends = "served";
                 for (const int32_t token : plan->files.end_tokens) ends += " " + std::to_string(token);
                 return ends;
               };
               const std::string before = seen();
               set(config);
               const std::string after = seen();
               INFO(before << "; " << after);
               CHECK(before != after);
               return before.starts_with("served") || after.starts_with("served");
             }));
}

void ProveModel(Proofs& proofs) {
  Planned(proofs, "model.path", "", "", [](ServerConfig& config) { config.model.path += "/nowhere"; });
  std::string with_unknown = ReadAll(kModel + "/config.json");
  with_unknown.insert(with_unknown.find('{') + 1, "\"not_known\": 3,");
  Planned(proofs, "model.ignore_config_keys", "config.json", with_unknown,
          [](ServerConfig& config) { config.model.ignore_config_keys = {"not_known"}; });
  Planned(proofs, "model.ignore_generation_config_keys", "generation_config.json",
          R"({"do_sample": true, "temperature": 1000})",
          [](ServerConfig& config) { config.model.ignore_generation_config_keys = {"temperature"}; });
  Planned(proofs, "model.end_tokens", "", "", [](ServerConfig& config) {
    config.model.end_tokens = {"7", "9"};
  });
}

// The value comes to what reads it.
template <typename Get>
void Arrives(Proofs& proofs, const std::string& key, const Proofs::Change& set, Get get) {
  proofs.Add(key, std::function<bool()>([set, get] {
               ServerConfig config;
               config.model.path = "model";
               const auto before = get(ModelOptions(config).value());
               set(config);
               return before != get(ModelOptions(config).value());
             }));
}

void ProveMachine(Proofs& proofs) {
  const auto arrives = [&](const auto& key, const auto& set, const auto& get) {
    Arrives(proofs, key, set, get);
  };
  arrives(
      "cpu.threads", [](auto& c) { c.cpu.threads = 3; }, [](auto o) { return o.base.backend.cpu.threads; });
  arrives(
      "cpu.pin", [](auto& c) { c.cpu.pin = false; }, [](auto o) { return o.base.backend.cpu.pin; });
  arrives(
      "cpu.isa", [](auto& c) { c.cpu.isa = "avx2"; }, [](auto o) { return o.base.backend.cpu.isa; });
  arrives(
      "memory.page_bytes", [](auto& c) { c.memory.page_bytes = 4096; },
      [](auto o) { return o.base.backend.page_bytes; });
  arrives(
      "engine.profile", [](auto& c) { c.engine.profile = true; }, [](auto o) { return o.profile; });
  arrives(
      "engine.trace", [](auto& c) { c.engine.trace = "t"; }, [](auto o) { return o.trace; });
  arrives(
      "adapters.load_threads", [](auto& c) { c.adapters.load_threads = 5; },
      [](auto o) { return o.load_threads; });
  arrives(
      "adapters.expert_format", [](auto& c) { c.adapters.expert_format = "keep"; },
      [](auto o) { return o.experts_as_base; });
  arrives(
      "weights.verify", [](auto& c) { c.weights.verify = false; },
      [](auto o) { return o.base.verify_weights; });
  proofs.Test("device", "runtime/cuda_device_test.cc", "A model that does not fit on a device is refused");
  proofs.Test("device_products", "e2e/device_serve_test.cc", "products of a library are refused by name");
  proofs.Test("device_memory", "runtime/base_model_test.cc", "A model is served by the CPU where no other");
  proofs.Test("on_device_error", "server/lifecycle_test.cc", "a device that is lost: who runs is told");
  proofs.Test("memory.kv", "e2e/adapter_serve_test.cc", "an adapter that was evicted under a small budget");
  proofs.Test("memory.kv_dtype", "e2e/isolation_churn_test.cc", "also with keys and values of 8 bits");
  proofs.Test("weights.map", "e2e/quantize_test.cc", "a server over a quantized folder answers as one");
  for (const char* kind : {"experts", "shared_experts", "dense", "attention", "head"}) {
    proofs.Test(std::string("weights.") + kind, "e2e/serve_test.cc",
                "the served demo answers as transformers does");
  }
}

void ProveAdapters(Proofs& proofs) {
  for (const char* key : {"adapters.roots", "adapters.preload.NAME.path", "adapters.preload.NAME.pin"}) {
    proofs.Test(key, "server/adapter_start_test.cc", "configured adapters are there at the start");
  }
  for (const char* key : {"adapters.preload.NAME.expert_config", "adapters.unload_wait_s",
                          "adapters.require_base_name", "adapters.ignore_config_keys"}) {
    proofs.Test(key, "server/adapter_keys_test.cc", "keys of adapters");
  }
  proofs.Test("adapters.allow_on_demand", "server/adapter_calls_test.cc",
              "without loads on demand a request");
  proofs.Test("adapters.load_wait_s", "server/adapter_calls_test.cc",
              "an evicted adapter comes back for its");
  proofs.Test("adapters.max_rank", "server/adapter_calls_test.cc", "what cannot be loaded is refused");
  proofs.Test("adapters.shut_off_after", "server/adapter_health_test.cc", "an adapter that overflows fails");
  proofs.Test("adapters.state_file", "server/state_file_test.cc", "adapters and tasks of the run before");
}

}  // namespace

void ProveModelKeys(Proofs& proofs) {
  ProveModel(proofs), ProveMachine(proofs), ProveAdapters(proofs);
}

}  // namespace guildhall
