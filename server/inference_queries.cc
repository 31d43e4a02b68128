#include "server/inference_queries.h"

#include <utility>

#include "base/status.h"
#include "server/admin_messages.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/prompt_builder.h"
#include "server/token_text.h"
#include "server/validate.h"

namespace guildhall {
namespace {

void FillDefaults(const SamplingDefaults& from, v1::SamplingOptions& to) {
  const SamplingParams params;
  to.set_temperature(static_cast<float>(from.temperature.value_or(static_cast<double>(params.temperature))));
  to.set_top_k(from.top_k.value_or(params.top_k));
  to.set_top_p(static_cast<float>(from.top_p.value_or(static_cast<double>(params.top_p))));
  to.set_min_p(static_cast<float>(from.min_p.value_or(static_cast<double>(params.min_p))));
  to.set_repetition_penalty(
      static_cast<float>(from.repetition_penalty.value_or(static_cast<double>(params.repetition_penalty))));
  to.set_presence_penalty(
      static_cast<float>(from.presence_penalty.value_or(static_cast<double>(params.presence_penalty))));
  to.set_frequency_penalty(
      static_cast<float>(from.frequency_penalty.value_or(static_cast<double>(params.frequency_penalty))));
  to.set_max_tokens(from.max_tokens.value_or(params.max_tokens));
  to.set_min_tokens(from.min_tokens.value_or(params.min_tokens));
  to.set_ignore_eos(from.ignore_eos.value_or(params.ignore_eos));
  to.set_include_stop(from.include_stop.value_or(false));
  for (const std::string& stop : from.stop) to.add_stop(stop);
  for (const int64_t token : from.stop_token_ids) to.add_stop_token_ids(static_cast<int32_t>(token));
}

absl::Status TokenizeInto(const Deployment& deployment, const v1::TokenizeRequest& request,
                          v1::TokenizeResponse& response) {
  GH_ASSIGN_OR_RETURN(const auto task, deployment.tasks->Find(request.task()));
  if (deployment.text.tokenizer == nullptr) {
    return PreconditionError("TOKENIZER", "model", "the model folder has no tokenizer");
  }
  GH_ASSIGN_OR_RETURN(const PromptInput input, ValidateInput(request, deployment.limits));
  GH_ASSIGN_OR_RETURN(BuiltPrompt prompt, BuildPrompt(*task, input, deployment.text, deployment.limits));
  if (request.has_token_ids()) {
    GH_ASSIGN_OR_RETURN(prompt.text, deployment.text.tokenizer->Decode(prompt.ids, /*skip_special=*/false));
  }
  response.mutable_token_ids()->Add(prompt.ids.begin(), prompt.ids.end());
  response.set_text(prompt.text);
  if (request.pieces()) {
    for (const int32_t id : prompt.ids) response.add_pieces(TokenBytes(deployment.text.tokenizer.get(), id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AnswerTokenize(const ServerState& state, const v1::TokenizeRequest& request,
                            v1::TokenizeResponse& response) {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, state.ForRequest());
    return TokenizeInto(*deployment, request, response);
  });
}

absl::Status AnswerListTasks(const ServerState& state, v1::ListTasksResponse& response) {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, state.ForRequest());
    const auto snapshot = deployment->tasks->Snapshot();
    for (const auto& [id, task] : *snapshot) {
      v1::TaskInfo& info = *response.add_tasks();
      info.set_id(id);
      info.set_description(task->description);
      FillAdapterUses(task->adapters, *info.mutable_adapters());
      info.set_has_chat_template(task->has_chat_template);
      info.set_has_system_prompt(!task->system_prompt.empty());
      FillDefaults(task->defaults, *info.mutable_defaults());
      info.mutable_speculation()->set_max_draft_tokens(task->speculation.max_draft_tokens);
      info.mutable_speculation()->set_min_ngram(task->speculation.min_ngram);
      info.mutable_speculation()->set_max_ngram(task->speculation.max_ngram);
    }
    return absl::OkStatus();
  });
}

}  // namespace guildhall
