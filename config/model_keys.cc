// The keys of the model, its weights, the memory and the adapters.
#include "config/key_group.h"
#include "kernels/kv_shape.h"
#include "kernels/weight_format.h"

namespace guildhall {
namespace {

std::vector<std::string> WeightFormatWords() {
  std::vector<std::string> words{"auto"};
  for (int i = 0; i < kWeightFormats; ++i) {
    words.emplace_back(WeightFormatName(static_cast<WeightFormat>(i)));
  }
  return words;
}

std::vector<std::string> KvFormatWords() {
  std::vector<std::string> words{"auto"};
  for (const KvFormat format : kKvFormats) words.emplace_back(KvFormatName(format));
  return words;
}

void AddWeightsKeys(KeyGroup<ServerConfig, WeightsConfig> weights) {
  const auto format = [&](const char* name, const char* help, std::string WeightsConfig::*member) {
    weights.Add(name, help, member).choices = WeightFormatWords();
  };
  format("experts", "format of the routed experts; auto: as the checkpoint has them",
         &WeightsConfig::experts);
  format("shared_experts", "format of the shared experts", &WeightsConfig::shared_experts);
  format("dense", "format of the feed-forward networks of layers without experts", &WeightsConfig::dense);
  format("attention", "format of the attention's projections", &WeightsConfig::attention);
  format("head", "format of the vocabulary's product", &WeightsConfig::head);
  weights.Add("map", "serve a packed folder (guildhall quantize) from its mapped file, without a copy",
              &WeightsConfig::map);
  weights.Add("verify", "compare the checksums of a mapped file at load", &WeightsConfig::verify);
}

void AddMemoryKeys(KeyGroup<ServerConfig, MemoryConfig> memory) {
  memory.Add("kv",
             "what KV cache and adapters share: bytes (2GiB), a share of the free memory (50%), or auto",
             &MemoryConfig::kv);
  memory.Add("kv_dtype", "element type of the KV cache", &MemoryConfig::kv_dtype).choices = KvFormatWords();
  memory.Add("page_bytes",
             "unit of the memory of KV cache and adapters, a multiple of 4096; 2 MiB gets huge pages, small "
             "models waste less with less",
             &MemoryConfig::page_bytes, {4096, 1 << 30});
}

void AddAdaptersKeys(KeyGroup<ServerConfig, AdaptersConfig> adapters) {
  adapters.Add("roots", "directories: adapters come from below them only", &AdaptersConfig::roots).file =
      true;
  adapters.Add("allow_on_demand", "a request loads an adapter again that was evicted",
               &AdaptersConfig::allow_on_demand);
  adapters.Add("load_wait_s", "seconds that a request waits for a load", &AdaptersConfig::load_wait_s,
               {0, 3600});
  adapters.Add("unload_wait_s", "seconds that an unload waits for the adapter's requests",
               &AdaptersConfig::unload_wait_s, {0, 86400});
  adapters.Add("load_threads", "threads that read and pack an adapter, at a low priority",
               &AdaptersConfig::load_threads, {1, 256});
  adapters.Add("max_rank", "largest rank of a low-rank adapter; 0: any", &AdaptersConfig::max_rank,
               {0, 65536});
  adapters.Add("require_base_name", "refuse adapters that record another base model; empty: only report it",
               &AdaptersConfig::require_base_name);
  adapters.Add("ignore_config_keys",
               "unknown keys of adapter_config.json and expert_cfg.json that are declared harmless",
               &AdaptersConfig::ignore_config_keys);
  adapters.Add(
      "shut_off_after",
      "so many requests in a row that end in numbers that are not finite shut an adapter off, while the base "
      "gives good ones; 0: never",
      &AdaptersConfig::shut_off_after, {0, 1e6});
  adapters
      .Add("expert_format", "format of replaced experts: the base's, or as their files have them (keep)",
           &AdaptersConfig::expert_format)
      .choices = {"base", "keep"};
  adapters
      .Add("state_file",
           "keeps what was changed at run time for the next start; empty: it ends with the process",
           &AdaptersConfig::state_file)
      .file = true;
}

}  // namespace

void AddModelKeys(KeyList<ServerConfig>& keys) {
  KeyGroup<ServerConfig, ServerConfig> root = RootGroup(keys);
  auto model = root.Inside("model", &ServerConfig::model);
  model.Add("path", "the Hugging Face folder that is served", &ModelConfig::path).file = true;
  model.Add("ignore_config_keys",
            "keys of the folder's config.json that are declared harmless: unknown ones, and values that are "
            "not served "
            "and shape no weights",
            &ModelConfig::ignore_config_keys);
  model.Add("ignore_generation_config_keys",
            "keys of the folder's generation_config.json that count as absent",
            &ModelConfig::ignore_generation_config_keys);
  model.Add("end_tokens",
            "tokens, as text or id, that end an answer; none: eos_token_id of generation_config.json or "
            "config.json, and the tokenizer's eos_token",
            &ModelConfig::end_tokens);
  root.Add("device", "what computes: cpu, cuda, cuda:1 ...; auto: a CUDA device that has room, else the CPU",
           &ServerConfig::device);
  root.Add("device_products",
           "who computes products of many rows on a CUDA device: exact, the same bits whatever a request is "
           "batched with; or library, cuBLAS, which does not keep them",
           &ServerConfig::device_products)
      .choices = {"exact", "library"};
  root.Add("device_memory",
           "what may be taken of the device's memory: bytes (40GiB), a share of what is free (50%), or auto: "
           "all that is free",
           &ServerConfig::device_memory);
  root.Add("on_device_error",
           "what the process does when the device has failed for good: exit, with an error; or stay, not "
           "serving, to be looked at",
           &ServerConfig::on_device_error)
      .choices = {"exit", "stay"};
  auto cpu = root.Inside("cpu", &ServerConfig::cpu);
  cpu.Add("threads", "compute threads; 0: the CPUs that the process may use", &CpuConfig::threads, {0, 1024});
  cpu.Add("pin", "bind compute threads to CPUs, where there is one for each CPU that the process may use",
          &CpuConfig::pin);
  cpu.Add("isa", "portable, avx2 or avx512; empty: the best one, or GUILDHALL_ISA", &CpuConfig::isa);
  AddMemoryKeys(root.Inside("memory", &ServerConfig::memory));
  AddWeightsKeys(root.Inside("weights", &ServerConfig::weights));
  AddAdaptersKeys(root.Inside("adapters", &ServerConfig::adapters));
}

}  // namespace guildhall
