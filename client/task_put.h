// The flags of "guildhall tasks put".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guildhall/v1/admin.pb.h"

namespace CLI {
class App;
}

namespace guildhall {

struct TaskPutFlags {
  std::string id, description, system_prompt, chat_template, text;
  std::vector<std::string> adapters;  // NAME or NAME=SCALE
  std::optional<double> weight;
  std::optional<int64_t> max_queued, max_running, speculate;
  std::optional<float> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k, max_tokens, min_tokens;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void AddTaskPutFlags(CLI::App& command, TaskPutFlags& flags);
v1::TaskDefinition TaskOf(const TaskPutFlags& flags);

}  // namespace guildhall
