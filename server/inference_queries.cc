#include "server/inference_queries.h"

#include <utility>

#include "base/status.h"
#include "server/admin_messages.h"
#include "server/error_details.h"
#include "server/guarded.h"
#include "server/prompt_builder.h"
#include "server/request_memory.h"
#include "server/sampling_messages.h"
#include "server/task_text.h"
#include "server/token_text.h"
#include "server/validate.h"

namespace guildhall {
namespace {

absl::Status TokenizeInto(const Deployment& deployment, const v1::TokenizeRequest& request, const Call& call,
                          v1::TokenizeResponse& response, const TokenizeRules& rules) {
  GH_ASSIGN_OR_RETURN(const auto task, deployment.tasks->Find(request.task()));
  const auto adapter = deployment.adapters->Text(task->adapters);
  const TextAssets& text = ServingText(deployment.text, adapter.get());
  if (text.tokenizer == nullptr) {
    return PreconditionError("TOKENIZER", "model", "the model folder has no tokenizer");
  }
  MemoryCharge charge(*deployment.request_memory);
  GH_RETURN_IF_ERROR(charge.Add(MessageBytes(request) + TextWorkBytes(request)));
  GH_ASSIGN_OR_RETURN(const PromptInput input, ValidateInput(request, deployment.limits));
  const WorkLimit work{call.deadline(), [&call] { return call.cancelled(); }};
  GH_ASSIGN_OR_RETURN(
      BuiltPrompt prompt,
      BuildPrompt(*task, input, {text, deployment.limits, *deployment.text_gate, work, rules.add_special}));
  if (request.has_token_ids()) {
    GH_ASSIGN_OR_RETURN(prompt.text, text.tokenizer->Decode(prompt.ids, /*skip_special=*/false));
  }
  response.mutable_token_ids()->Add(prompt.ids.begin(), prompt.ids.end());
  response.set_text(prompt.text);
  if (request.pieces()) {
    for (const int32_t id : prompt.ids) response.add_pieces(TokenBytes(text.tokenizer.get(), id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AnswerTokenize(const ServerState& state, const v1::TokenizeRequest& request, const Call& call,
                            v1::TokenizeResponse& response, const TokenizeRules& rules) {
  return Guarded([&]() -> absl::Status {
    GH_ASSIGN_OR_RETURN(const auto deployment, state.ForRequest());
    return TokenizeInto(*deployment, request, call, response, rules);
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
      const auto adapter = deployment->adapters->Text(task->adapters);
      info.set_has_chat_template(HasChatTemplate(*task, ServingText(deployment->text, adapter.get())));
      info.set_has_system_prompt(!task->system_prompt.empty());
      FillSampling(Merge(ServingDefaults(*task, adapter.get()), BuiltInSampling()), *info.mutable_defaults());
      info.mutable_speculation()->set_max_draft_tokens(task->speculation.max_draft_tokens);
      info.mutable_speculation()->set_min_ngram(task->speculation.min_ngram);
      info.mutable_speculation()->set_max_ngram(task->speculation.max_ngram);
    }
    return absl::OkStatus();
  });
}

}  // namespace guildhall
