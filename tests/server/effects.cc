#include "tests/server/effects.h"

#include <utility>

namespace guildhall {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Random draws, of which a changed distribution changes some.
v1::GenerateRequest Random() {
  v1::GenerateRequest request = IdRequest(kRepeats, 60);
  request.mutable_sampling()->set_temperature(2.0f);
  request.mutable_sampling()->set_seed(1);
  return request;
}

}  // namespace

void WalkFields(const Descriptor& message, const std::string& prefix, std::set<std::string>& paths) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string path = prefix + field.name();
    const bool own = field.message_type() != nullptr && !field.is_map() &&
                     field.message_type()->file()->package() == "guildhall.v1";
    if (own) {
      WalkFields(*field.message_type(), path + ".", paths);
    } else {
      paths.insert(path);
    }
  }
}

ScriptedModel::Options EffectModel() {
  ScriptedModel::Options options;
  options.max_positions = 4096;
  options.scripts[kEnds] = Encode("one two");
  options.scripts[kEnds].push_back(2);
  options.scripts[kRepeats] = {kRepeats};
  options.scripts[kSpecial] = {*DemoText().tokenizer->TokenId("<|user|>")};
  options.scripts[kLooksUp] = {9, 9, 9, 9, 9, 9, 9, 6, 70, 9, 9, 9, 9};
  return options;
}

std::string Seen(v1::Inference::Stub& stub, const v1::GenerateRequest& request) {
  const Answer answer = Ask(stub, request);
  v1::GenerateEnd end = answer.end;
  end.clear_timings();
  v1::PromptInfo prompt;
  for (const v1::Logprob& logprob : answer.prompt) *prompt.add_logprobs() = logprob;
  v1::GenerateChunk chunk;
  for (const v1::Logprob& logprob : answer.logprobs) *chunk.add_logprobs() = logprob;
  for (const int32_t token : answer.tokens) chunk.add_token_ids(token);
  return answer.start.task() + "\n" + answer.text + "\n" + end.DebugString() + prompt.DebugString() +
         chunk.DebugString() + std::to_string(answer.status.error_code());
}

std::vector<SamplingEffect> SamplingEffects() {
  std::vector<SamplingEffect> effects;
  const auto add = [&](const std::string& name, v1::GenerateRequest base,
                       std::function<void(v1::SamplingOptions&)> set) {
    effects.push_back({name, std::move(base), std::move(set)});
  };
  const auto greedy = IdRequest(kRepeats, 8);
  add("temperature", Random(), [](auto& s) { s.set_temperature(5.0f); });
  add("top_k", Random(), [](auto& s) { s.set_top_k(3); });
  add("top_p", Random(), [](auto& s) { s.set_top_p(0.2f); });
  add("min_p", Random(), [](auto& s) { s.set_min_p(0.5f); });
  add("repetition_penalty", Random(), [](auto& s) { s.set_repetition_penalty(10.0f); });
  add("presence_penalty", Random(), [](auto& s) { s.set_presence_penalty(2.0f); });
  add("frequency_penalty", Random(), [](auto& s) { s.set_frequency_penalty(2.0f); });
  add("seed", Random(), [](auto& s) { s.set_seed(2); });
  add("logit_bias", greedy, [](auto& s) { (*s.mutable_logit_bias())[7] = 100.0f; });
  add("max_tokens", greedy, [](auto& s) { s.set_max_tokens(3); });
  add("min_tokens", IdRequest(kEnds, 20), [](auto& s) { s.set_min_tokens(20); });
  add("ignore_eos", IdRequest(kEnds, 20), [](auto& s) { s.set_ignore_eos(true); });
  add("stop", IdRequest(kEnds, 20), [](auto& s) { s.add_stop("two"); });
  add("stop_token_ids", greedy, [](auto& s) { s.add_stop_token_ids(kRepeats); });
  v1::GenerateRequest stopped = IdRequest(kEnds, 20);
  stopped.mutable_sampling()->add_stop("two");
  add("skip_special_tokens", IdRequest(kSpecial, 4), [](auto& s) { s.set_skip_special_tokens(false); });
  add("include_stop", stopped, [](auto& s) { s.set_include_stop(true); });
  add("suppress_tokens", greedy, [](auto& s) { s.add_suppress_tokens(kRepeats); });
  add("begin_suppress_tokens", greedy, [](auto& s) { s.add_begin_suppress_tokens(kRepeats); });
  add("no_repeat_ngram_size", greedy, [](auto& s) { s.set_no_repeat_ngram_size(2); });
  add("bad_words_ids.ids", greedy, [](auto& s) { s.add_bad_words_ids()->add_ids(kRepeats); });
  return effects;
}

}  // namespace guildhall
