#include "tests/checkpoint/tiny_folder.h"

#include <cstring>
#include <fstream>

namespace guildhall {

TestTensor Counting(std::vector<int64_t> shape, float first) {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  TestTensor tensor{"F32", std::move(shape), std::string(static_cast<size_t>(elements) * 4, '\0')};
  for (size_t i = 0; i < static_cast<size_t>(elements); ++i) {
    const float value = first + static_cast<float>(i);
    std::memcpy(&tensor.bytes[i * 4], &value, 4);
  }
  return tensor;
}

std::string SafetensorsBytes(const std::string& header, const std::string& buffer) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((uint64_t{header.size()} >> (8 * i)) & 0xffu);
  return bytes + header + buffer;
}

std::string SafetensorsBytes(const TestTensors& tensors) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string buffer;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", tensor.dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {buffer.size(), buffer.size() + tensor.bytes.size()}}};
    buffer += tensor.bytes;
  }
  return SafetensorsBytes(DumpJson(header), buffer);
}

void TestFolder::Write(const std::string& name, const std::string& bytes) const {
  std::ofstream(Path(name), std::ios::binary) << bytes;
}

Json TinyOlmoeConfig() {
  return {{"model_type", "olmoe"},
          {"architectures", {"OlmoeForCausalLM"}},
          {"hidden_size", 4},
          {"intermediate_size", 3},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 2},
          {"num_experts", 2},
          {"num_experts_per_tok", 1},
          {"vocab_size", 5},
          {"tie_word_embeddings", false}};
}

TestTensors TinyOlmoeTensors() {
  TestTensors tensors = {{"model.embed_tokens.weight", Counting({5, 4}, 0)},
                         {"model.norm.weight", Counting({4}, 100)},
                         {"lm_head.weight", Counting({5, 4}, 200)}};
  const std::string layer = "model.layers.0.";
  for (const char* name :
       {"input_layernorm", "post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"}) {
    tensors[layer + name + ".weight"] = Counting({4}, 300);
  }
  for (const char* name : {"q", "k", "v", "o"}) {
    tensors[layer + "self_attn." + name + "_proj.weight"] = Counting({4, 4}, 400);
  }
  tensors[layer + "mlp.gate.weight"] = Counting({2, 4}, 500);
  for (const int expert : {0, 1}) {
    const std::string block = layer + "mlp.experts." + std::to_string(expert) + ".";
    const float first = 1000.0f * static_cast<float>(expert + 1);
    tensors[block + "gate_proj.weight"] = Counting({3, 4}, first);
    tensors[block + "up_proj.weight"] = Counting({3, 4}, first + 100);
    tensors[block + "down_proj.weight"] = Counting({4, 3}, first + 200);
  }
  return tensors;
}

Json TinyLlamaConfig() {
  return {{"model_type", "llama"},    {"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 4},         {"intermediate_size", 3},
          {"num_hidden_layers", 1},   {"num_attention_heads", 2},
          {"num_key_value_heads", 2}, {"vocab_size", 5}};
}

TestTensors TinyLlamaTensors() {
  TestTensors tensors = {{"model.embed_tokens.weight", Counting({5, 4}, 0)},
                         {"model.norm.weight", Counting({4}, 100)},
                         {"lm_head.weight", Counting({5, 4}, 200)}};
  const std::string layer = "model.layers.0.";
  for (const char* name : {"input_layernorm", "post_attention_layernorm"}) {
    tensors[layer + name + ".weight"] = Counting({4}, 300);
  }
  for (const char* name : {"q", "k", "v", "o"}) {
    tensors[layer + "self_attn." + name + "_proj.weight"] = Counting({4, 4}, 400);
  }
  tensors[layer + "mlp.gate_proj.weight"] = Counting({3, 4}, 500);
  tensors[layer + "mlp.up_proj.weight"] = Counting({3, 4}, 600);
  tensors[layer + "mlp.down_proj.weight"] = Counting({4, 3}, 700);
  return tensors;
}

}  // namespace guildhall
