#include "client/task_put.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <iterator>

namespace guildhall {
namespace {

// The factor behind "="; false: it is no number.
bool ParseScale(const std::string& text, float& scale) {
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, scale);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

std::string CheckAdapter(const std::string& text) {
  const size_t equals = text.find('=');
  float ignored = 0.0f;
  if (equals == std::string::npos || ParseScale(text.substr(equals + 1), ignored)) return {};
  return "expected NAME or NAME=FACTOR, found " + text;
}

void AddSamplingFlags(CLI::App& command, TaskPutFlags& flags) {
  command.add_option("--temperature", flags.temperature, "0 is greedy");
  command.add_option("--top-k", flags.top_k, "keep the k most likely tokens");
  command.add_option("--top-p", flags.top_p, "keep the most likely tokens up to this probability");
  command.add_option("--min-p", flags.min_p, "drop tokens below this share of the best one's probability");
  command.add_option("--repetition-penalty", flags.repetition_penalty, "over prompt and output");
  command.add_option("--presence-penalty", flags.presence_penalty, "over the output");
  command.add_option("--frequency-penalty", flags.frequency_penalty, "over the output");
  command.add_option("--max-tokens", flags.max_tokens, "most tokens to generate");
  command.add_option("--min-tokens", flags.min_tokens, "no end before so many tokens");
  command.add_option("--stop", flags.stop, "a string that ends the answer (may be repeated)");
  command.add_flag("--ignore-eos", flags.ignore_eos, "go on past the model's end token");
}

}  // namespace

void AddTaskPutFlags(CLI::App& command, TaskPutFlags& flags) {
  command.add_option("id", flags.id, "the task; \"\" is the base model")->required();
  command
      .add_option("--adapter", flags.adapters,
                  "NAME or NAME=FACTOR of a loaded adapter (may be repeated; the order counts)")
      ->check(CheckAdapter);
  command.add_option("--description", flags.description, "for people, in the list");
  command.add_option("--system-prompt", flags.system_prompt,
                     "begins every chat that brings no system message");
  command.add_option("--chat-template", flags.chat_template, "file with Jinja source")
      ->check(CLI::ExistingFile)
      ->transform([](const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
      });
  command.add_option("--text", flags.text, "how plain text is read: raw, chat or auto")
      ->check(CLI::IsMember({"raw", "chat", "auto"}));
  command.add_option("--weight", flags.weight, "share of the tokens relative to other tasks");
  command.add_option("--max-queued", flags.max_queued, "requests of the task that may wait");
  command.add_option("--max-running", flags.max_running, "requests of the task computed at a time");
  command.add_option("--speculate", flags.speculate,
                     "guess up to so many tokens at a time where the text repeats itself; 0: never");
  AddSamplingFlags(command, flags);
  command.footer(
      "  guildhall tasks put math --adapter math --temperature 0\n"
      "  guildhall tasks put tone --adapter math --adapter polite=0.5 --system-prompt 'Be kind.'");
}

v1::TaskDefinition TaskOf(const TaskPutFlags& flags) {
  v1::TaskDefinition task;
  task.set_id(flags.id);
  task.set_description(flags.description);
  task.set_system_prompt(flags.system_prompt);
  task.set_chat_template(flags.chat_template);
  task.set_text(flags.text);
  for (const std::string& text : flags.adapters) {
    const size_t equals = text.find('=');
    v1::AdapterUse& use = *task.add_adapters();
    use.set_name(text.substr(0, equals));
    float scale = 1.0f;
    if (equals != std::string::npos && ParseScale(text.substr(equals + 1), scale)) use.set_scale(scale);
  }
  if (flags.weight) task.set_weight(*flags.weight);
  if (flags.max_queued) task.set_max_queued(*flags.max_queued);
  if (flags.max_running) task.set_max_running(*flags.max_running);
  if (flags.speculate) task.mutable_speculation()->set_max_draft_tokens(*flags.speculate);
  v1::SamplingOptions& sampling = *task.mutable_sampling();
  if (flags.temperature) sampling.set_temperature(*flags.temperature);
  if (flags.top_p) sampling.set_top_p(*flags.top_p);
  if (flags.min_p) sampling.set_min_p(*flags.min_p);
  if (flags.top_k) sampling.set_top_k(*flags.top_k);
  if (flags.repetition_penalty) sampling.set_repetition_penalty(*flags.repetition_penalty);
  if (flags.presence_penalty) sampling.set_presence_penalty(*flags.presence_penalty);
  if (flags.frequency_penalty) sampling.set_frequency_penalty(*flags.frequency_penalty);
  if (flags.max_tokens) sampling.set_max_tokens(*flags.max_tokens);
  if (flags.min_tokens) sampling.set_min_tokens(*flags.min_tokens);
  if (flags.ignore_eos) sampling.set_ignore_eos(true);
  for (const std::string& stop : flags.stop) sampling.add_stop(stop);
  return task;
}

}  // namespace guildhall
