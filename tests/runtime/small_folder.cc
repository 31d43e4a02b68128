#include "tests/runtime/small_folder.h"

namespace guildhall {

Json TinyTokenizer() {
  const Json vocab{{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"</s>", 4}};
  const Json end{{"id", 4},         {"content", "</s>"},   {"single_word", false}, {"lstrip", false},
                 {"rstrip", false}, {"normalized", false}, {"special", true}};
  const Json model{{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", "<unk>"},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"vocab", vocab},
                   {"merges", Json::array({"a b"})}};
  return {{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
          {"added_tokens", {end}},     {"normalizer", nullptr}, {"pre_tokenizer", nullptr},
          {"post_processor", nullptr}, {"decoder", nullptr},    {"model", model}};
}

std::map<std::string, std::string> SmallModelFiles() {
  return {{"config.json", DumpJson(TinyOlmoeConfig())},
          {"generation_config.json", R"({"do_sample": true, "temperature": 0.7, "eos_token_id": 4})"},
          {"tokenizer.json", DumpJson(TinyTokenizer())},
          {"tokenizer_config.json", R"({"eos_token": "</s>", "chat_template": "{{ messages[0].content }}"})"},
          {"model.safetensors", SafetensorsBytes(TinyOlmoeTensors())}};
}

void WriteFiles(const TestFolder& folder, const std::map<std::string, std::string>& files) {
  for (const auto& [name, text] : files) folder.Write(name, text);
}

}  // namespace guildhall
